/**
 * A download whose process is killed, ten times over, at places that the seed chooses: the next one goes on from the byte
 * where the last one was, no byte comes twice, and nothing has its final name before it is whole.
 */
import { existsSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs'
import { join } from 'node:path'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { sha256, type Misbehaviour } from '../io/mock_hub.ts'
import { runSeed } from '../harness/seed.ts'
import { commit, repository, startHub, surroundings } from './hub_model.ts'
import { runCli } from './run_cli.ts'

const KILLS = 10
const weights = 'pytorch_model.bin'
const content = repository.get(weights) as Buffer
const hash = sha256(content)

/** Ascending places inside the file. */
function placesToKillAt(): number[] {
  const places = fc.uniqueArray(fc.integer({ min: 1, max: content.length - 1 }), {
    minLength: KILLS,
    maxLength: KILLS,
  })
  return fc.sample(places, { seed: runSeed(), numRuns: 1 })[0].toSorted((a, b) => a - b)
}

/** What may go wrong with the world between two runs, or in the answers. */
interface World {
  /** Where an answer begins whose range begins at `asked`. */
  readonly begin?: (asked: number) => number
  readonly bytes?: Buffer
  readonly betweenRuns?: (blobs: string) => void
}

/** Kills a download at ten places and lets the eleventh finish. */
async function resumesFromTheByte({
  begin = (asked) => asked,
  bytes = content,
  betweenRuns,
}: World = {}): Promise<void> {
  const hub = await startHub()
  try {
    const { cache, env } = surroundings(hub.endpoint)
    const folder = join(cache, 'models--someone--tiny')
    const blobs = join(folder, 'blobs')
    const link = join(folder, 'snapshots', commit, weights)
    const partial = (): number => {
      const name = existsSync(blobs) && readdirSync(blobs).find((one) => one.startsWith(`${hash}.partial`))
      // The file is renamed when it is complete.
      const found = name && statSync(join(blobs, name), { throwIfNoEntry: false })
      return found ? found.size : 0
    }
    const asked: number[] = []
    let sent = 0
    let place = 0
    const answer: Misbehaviour = ({ at, range, response }) => {
      if (at !== 'store') return false
      const wanted = Number(/^bytes=(\d+)-$/.exec(range ?? '')?.[1] ?? 0)
      const start = begin(wanted)
      asked.push(wanted)
      response.writeHead(start > 0 ? 206 : 200, {
        'content-length': bytes.length - start,
        ...(start > 0 && { 'content-range': `bytes ${start}-${bytes.length - 1}/${bytes.length}` }),
      })
      const part = bytes.subarray(start, place)
      sent += part.length
      // The rest is not sent: the process waits for it, and is killed.
      if (place < bytes.length) response.write(part)
      else response.end(part)
      return true
    }
    hub.misbehave = answer
    const args = ['generate', 'a', '--max-tokens', '2', '--quiet', '-m', hub.id]
    const places = placesToKillAt()
    for (const next of places) {
      place = next
      const killWhen = (): boolean => partial() >= place
      expect(await runCli(args, { env, killWhen })).toEqual({ code: null, stdout: '', stderr: '' })
      expect([existsSync(join(blobs, hash)), existsSync(link)], 'final names').toEqual([false, false])
      expect(partial()).toBe(place)
      betweenRuns?.(blobs)
    }
    place = bytes.length
    expect(await runCli(args, { env })).toMatchObject({ code: 0, stderr: '' })
    expect(sha256(readFileSync(link))).toBe(hash)
    expect(asked).toEqual([0, ...places])
    expect(sent, 'bytes that were fetched').toBe(content.length)
    expect(partial(), 'a part that was left').toBe(0)
  } finally {
    await hub.stop()
  }
}

test(`killed ${KILLS} times, a download fetches every byte once and is right`, () => resumesFromTheByte())

test.concurrent.each<[string, World]>([
  ['a hub that ignores ranges', { begin: () => 0 }],
  [
    'a cache that forgets what was fetched',
    {
      betweenRuns: (blobs) =>
        readdirSync(blobs).forEach((name) => name.startsWith(hash) && rmSync(join(blobs, name))),
    },
  ],
  ['content that is another', { bytes: Buffer.concat([content.subarray(0, -1), Buffer.of(1)]) }],
])('%s is found', async (_, world) => {
  await expect(resumesFromTheByte(world)).rejects.toMatchObject({ name: 'AssertionError' })
})
