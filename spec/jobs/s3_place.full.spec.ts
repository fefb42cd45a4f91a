/**
 * A bucket as a store, over a real service: moto, a server that speaks as S3 does (Debian: python3-moto).
 *
 * Tests src/jobs/open_store.ts.
 */
import { spawn, spawnSync, type ChildProcess } from 'node:child_process'
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest'
import { openJobStore } from '../../src/jobs/open_store.ts'
import { inlineRunner } from './inline_runner.ts'
import { jobKey } from '../../src/jobs/job.ts'
import { doTestJob, echoJobs, texts } from './test_jobs.ts'

/** How moto is started here, if it is here: by its own name, or by the system's Python. */
const command = [['moto_server'], ['/usr/bin/python3', '-m', 'moto.server']].find(
  ([name, ...args]) => spawnSync(name, [...args, '--help']).status === 0,
)
const reason = command ? '' : ': expected moto_server (apt-get install python3-moto python3-flask)'

/** The address that moto prints. @throws Error with its output if it ends before */
function addressOf(moto: ChildProcess): Promise<string> {
  return new Promise((resolve, reject) => {
    let said = ''
    for (const output of [moto.stdout, moto.stderr])
      output?.on('data', (text) => {
        said += text
        const [, address] = /Running on (http:\/\/127\.0\.0\.1:\d+)/.exec(said) ?? []
        if (address !== undefined) resolve(address)
      })
    moto.once('error', reject)
    moto.once('close', () => reject(new Error(`moto: expected a server, got its end: ${said}`)))
  })
}

let server: ChildProcess | null = null
beforeAll(async () => {
  if (!command) return
  const [name, ...args] = command
  // It chooses a free port and prints it once it listens.
  server = spawn(name, [...args, '-H', '127.0.0.1', '-p', '0'])
  const endpoint = await addressOf(server)
  vi.stubEnv('AWS_ENDPOINT_URL', endpoint)
  vi.stubEnv('AWS_ACCESS_KEY_ID', 'test')
  vi.stubEnv('AWS_SECRET_ACCESS_KEY', 'test')
  vi.stubEnv('AWS_REGION', 'us-east-1')
  const made = await fetch(`${endpoint}/bucket`, { method: 'PUT' })
  expect(made.status).toBe(200)
}, 300_000)
afterAll(async () => {
  // The object must stay the same: the next spec files get their folders through it.
  vi.unstubAllEnvs()
  if (server === null) return
  const ended = new Promise((resolve) => server?.once('close', resolve))
  server.kill()
  await ended
})

describe.skipIf(!command)(`a bucket${reason}`, () => {
  test('gives back what was written, and nothing else', async () => {
    const store = await openJobStore('s3://bucket/some/shards')
    const [name, other] = ['ab'.repeat(32), 'cd'.repeat(32)]
    expect(await store.has(name)).toBe(false)
    expect(await store.read(name)).toBeNull()
    await store.write(name, Uint8Array.of(1, 2, 3))
    expect(await store.has(name)).toBe(true)
    expect(await store.read(name)).toEqual(Uint8Array.of(1, 2, 3))
    expect(await store.has(other)).toBe(false)
    // Another prefix is another store.
    expect(await (await openJobStore('s3://bucket/some')).has(name)).toBe(false)
    await store.place.remove(name)
    expect(await store.read(name)).toBeNull()
    await store.close()
  })

  test('keeps the first result, and removes a damaged one', async () => {
    const store = await openJobStore('s3://bucket/twice')
    const name = 'ef'.repeat(32)
    await store.place.write(name, Uint8Array.of(1))
    await store.place.write(name, Uint8Array.of(2))
    expect(await store.place.read(name)).toEqual(Uint8Array.of(1))
    await expect(store.read(name)).rejects.toMatchObject({ code: 'SHARD_DAMAGED' })
    expect(await store.readOrRemove(name)).toBeNull()
    expect(await store.has(name)).toBe(false)
    await store.close()
  })

  test('is a store for jobs like any other', async () => {
    const runner = inlineRunner(doTestJob, await openJobStore('s3://bucket/run'))
    const { jobs, expected } = await echoJobs(runner.store, 5)
    expect(await texts(runner.run(jobs))).toEqual(expected)
    expect(await runner.store.has(await jobKey(jobs[4]))).toBe(true)
    const refuse = inlineRunner(() => Promise.reject(new Error('asked again')), runner.store)
    expect(await texts(refuse.run(jobs))).toEqual(expected)
    await runner.close()
  })

  test('that is missing is refused in one line', async () => {
    await expect(openJobStore('s3://no-such-bucket')).rejects.toMatchObject({
      code: 'SHARD_STORE',
      exitCode: 5,
      message: expect.stringMatching(
        /^s3:\/\/no-such-bucket\/: expected a bucket to use, got [^\n]*$/,
      ) as string,
    })
  })
})
