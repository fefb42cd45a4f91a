/**
 * Processes that download a model of the hub: two in parallel, and one that is killed.
 */
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, onTestFinished, test } from 'vitest'
import { sha256, type MockHub } from '../io/mock_hub.ts'
import { repository, startHub, surroundings } from './hub_model.ts'
import { runCli } from './run_cli.ts'
import { runInside } from './run_inside.ts'

let hub: MockHub
beforeAll(async () => {
  hub = await startHub()
})
afterAll(() => hub.stop())

test('two processes that download the same model in parallel both succeed', async () => {
  const { cache, env } = surroundings(hub.endpoint)
  const args = ['generate', 'Once upon', '--max-tokens', '8', '--quiet', '-m', hub.id]
  const both = await Promise.all([runCli(args, { env }), runCli(args, { env })])
  expect(both[0]).toMatchObject({ code: 0, stderr: '' })
  expect(both[1]).toEqual(both[0])
  const blobs = readdirSync(join(cache, 'models--someone--tiny/blobs'))
  expect(blobs.toSorted()).toEqual(blobs.filter((name) => /^[0-9a-f]{40,64}$/.test(name)).toSorted())
  // Configurations of the model and of generation, two files of the tokenizer, weights.
  expect(blobs).toHaveLength(5)
})

test('the next process resumes the download of a killed one', async () => {
  const { cache, env } = surroundings(hub.endpoint)
  const blobs = join(cache, 'models--someone--tiny/blobs')
  const content = repository.get('pytorch_model.bin') as Buffer
  const half = content.length >> 1
  hub.misbehave = ({ at, range, response }) => {
    if (at !== 'store' || range !== undefined) return false
    response.writeHead(200, { 'content-length': content.length }).write(content.subarray(0, half))
    return true
  }
  onTestFinished(() => {
    hub.misbehave = () => false
  })
  const partial = (): string | undefined =>
    existsSync(blobs) ? readdirSync(blobs).find((name) => name.includes('.partial')) : undefined
  const isHalf = (): boolean => {
    const name = partial()
    // The file may have been renamed meanwhile.
    return name !== undefined && statSync(join(blobs, name), { throwIfNoEntry: false })?.size === half
  }
  const args = ['generate', 'a', '--max-tokens', '2', '-m', hub.id]
  expect(await runCli(args, { env, killWhen: isHalf })).toEqual({ code: null, stdout: '', stderr: '' })
  expect(partial()).toMatch(/^[0-9a-f]{64}\.partial\.\d+-.*\.tmp$/)
  const before = hub.asked.length
  expect((await runInside(args, { env })).code).toBe(0)
  const ranges = hub.asked
    .slice(before)
    .filter(({ at }) => at === 'store')
    .map(({ range }) => range)
  expect(ranges).toEqual([`bytes=${half}-`])
  expect(sha256(readFileSync(join(blobs, sha256(content))))).toBe(sha256(content))
  expect(partial()).toBe(undefined)
})
