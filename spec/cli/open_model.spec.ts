/**
 * A model of the hub, from its name to text, as a user meets it: downloaded, cached, loaded, run; then without the hub.
 */
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, onTestFinished, test } from 'vitest'
import { ShadowModel, type OpenProgress } from '../../src/library/index.ts'
import { byteCharacters, specialTokens } from '../../src/io/vocabulary.ts'
import type { MockHub } from '../io/mock_hub.ts'
import { commit, golden, startHub, surroundings, vocabulary } from './hub_model.ts'
import type { CliResult } from './run_cli.ts'
import { runInside } from './run_inside.ts'

let hub: MockHub
beforeAll(async () => {
  hub = await startHub()
})
afterAll(() => hub.stop())

const generate = (more: readonly string[], env: Record<string, string>): Promise<CliResult> =>
  runInside(['generate', 'Once upon', '--max-tokens', '8', '--quiet', '-m', hub.id, ...more], { env })

test('generate -m downloads, caches, loads and runs; --offline does it again without the hub', async () => {
  const first = await startHub()
  const { cache, env } = surroundings(first.endpoint)
  const online = await generate([], env)
  expect(online).toMatchObject({ code: 0, stderr: '' })

  const opt = await ShadowModel.fromPretrained(golden, { backend: 'reference' })
  const ids = ['</s>', ...'Once upon'.replace(' ', byteCharacters[0x20])].map((token) =>
    vocabulary.indexOf(token),
  )
  const tokens: number[] = []
  for await (const { token } of opt.generate([specialTokens.indexOf('</s>'), ...ids.slice(1)], {
    maxTokens: 8,
  }))
    tokens.push(token)
  await opt.dispose()
  const json = await generate(['--json'], env)
  expect(JSON.parse(json.stdout)).toMatchObject({ tokens, model: hub.id, hub: { revision: 'main', commit } })
  expect(first.served).toEqual([
    'config.json',
    'vocab.json',
    'merges.txt',
    'generation_config.json',
    'pytorch_model.bin',
  ])

  await first.stop()
  const kept = join(cache, 'models--someone--tiny')
  expect(readFileSync(join(kept, 'refs/main'), 'utf8')).toBe(commit)
  for (const more of [
    ['--offline'],
    ['--offline', '--revision', 'main'],
    ['--offline', '--revision', commit],
  ])
    expect(await generate(more, env)).toEqual(online)
  expect(await generate([], { ...env, HF_HUB_OFFLINE: '1' })).toEqual(online)
  const unknown = await generate(['--offline', '--revision', 'v2'], env)
  expect(unknown).toMatchObject({ code: 5, stdout: '' })
  expect(unknown.stderr).toMatch(/^shadowllm: someone\/tiny at v2: expected [^\n]+ \[HUB_OFFLINE\]\n$/)
})

test('the requested revision and its commit are in the report', async () => {
  const { env } = surroundings(hub.endpoint)
  const text = join(surroundings(hub.endpoint).cache, '..', 'text')
  writeFileSync(text, 'Once upon a time there was a text.')
  const args = [
    'perplexity',
    '-m',
    hub.id,
    '--revision',
    'main',
    '--planner',
    'random',
    '--text',
    text,
    '--json',
  ]
  const { code, stdout, stderr } = await runInside(args, { env })
  expect([code, stderr]).toEqual([0, ''])
  expect((JSON.parse(stdout) as { provenance: unknown }).provenance).toMatchObject({
    model: { name: hub.id, hub: { repository: hub.id, revision: 'main', commit } },
  })
})

test('a folder of that name is used before the hub is asked', async () => {
  const { env } = surroundings(hub.endpoint)
  const before = hub.asked.length
  const { code, stderr } = await runInside(['generate', 'a', '-m', 'src/io'], { env })
  expect([code, stderr.includes('[MODEL_CONFIG]'), hub.asked.length]).toEqual([3, true, before])
})

test('the library downloads, reports progress and names the origin of the model', async () => {
  const { env } = surroundings(hub.endpoint)
  const before = Object.fromEntries(Object.keys(env).map((name) => [name, process.env[name]]))
  Object.assign(process.env, env)
  onTestFinished(() => {
    for (const [name, value] of Object.entries(before)) {
      if (value === undefined) delete process.env[name]
      else process.env[name] = value
    }
  })
  const seen: OpenProgress[] = []
  const opt = await ShadowModel.fromPretrained(hub.id, {
    revision: commit,
    onProgress: (one) => seen.push(one),
  })
  expect(opt.name).toBe(hub.id)
  expect(opt.origin).toEqual({ repository: hub.id, revision: commit, commit })
  await opt.dispose()
  const stages = seen.map(({ stage }) => stage)
  expect([stages[0], stages.at(-1), stages.lastIndexOf('download') < stages.indexOf('load')]).toEqual([
    'download',
    'load',
    true,
  ])
})

test('ctrl-C ends a download with 130 and one line', async () => {
  const { env } = surroundings(hub.endpoint)
  const interrupt = new AbortController()
  hub.misbehave = ({ at }) => {
    if (at !== 'store') return false
    interrupt.abort()
    return true
  }
  onTestFinished(() => {
    hub.misbehave = () => false
  })
  const result = await runInside(['generate', 'a', '-m', hub.id], { env, interrupt })
  expect(result).toEqual({ code: 130, stdout: '', stderr: 'shadowllm: interrupted [INTERRUPTED]\n' })
})
