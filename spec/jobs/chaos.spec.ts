/**
 * Whatever dies on the way, a run over a queue ends with the results of one thread, each once.
 *
 * A few mishaps in every run of the laws; SHADOWLLM_CHAOS=full makes 50 kills, 5 restarts of the server and 10 cuts of the
 * network, within a few minutes.
 */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { openShardStore } from '../../src/jobs/open_store.ts'
import { QueueRunner } from '../../src/jobs/queue_runner.ts'
import { shardKey } from '../../src/jobs/shard.ts'
import { runSeed } from '../harness/seed.ts'
import { doneBy, makeMishaps, spawnWorker, Workers, type Mishaps } from './chaos.ts'
import { startProxy, startServer, whyNoServer } from './server.ts'
import { echoShards, texts } from './test_shards.ts'

const isFull = process.env.SHADOWLLM_CHAOS === 'full'
const mishaps: Mishaps = isFull ? { kills: 50, restarts: 5, cuts: 10 } : { kills: 3, restarts: 1, cuts: 1 }
const count = 3
const milliseconds = 250

test.skipIf(whyNoServer !== null)(
  `${mishaps.kills} kills, ${mishaps.restarts} restarts and ${mishaps.cuts} cuts lose nothing${whyNoServer ? `: ${whyNoServer}` : ''}`,
  { timeout: 1_200_000 },
  async () => {
    const folder = mkdtempSync(join(tmpdir(), 'shadowllm-chaos-'))
    const server = await startServer()
    const proxy = await startProxy(() => server.port)
    const shards = join(folder, 'shards')
    const log = join(folder, 'log')
    writeFileSync(log, '')
    const place = { url: `redis://127.0.0.1:${proxy.port}`, queue: 'chaos', shards, log }
    const workers = new Workers(count, () => spawnWorker(place))
    const runner = new QueueRunner({
      tools: await server.tools(),
      queue: place.queue,
      store: await openShardStore(shards),
      attempts: 1000,
      every: 300,
    })
    try {
      const started = performance.now()
      // Whatever happens takes longer than the work: there is always something to hit, round after round.
      const hit = { isOver: false }
      const scene = { workers, server, proxy, shardTime: milliseconds }
      const hitting = makeMishaps(mishaps, scene, runSeed()).finally(() => (hit.isOver = true))
      const wanted: string[] = []
      for (let round = 0; round === 0 || !hit.isOver; round++) {
        const work = await echoShards(runner.store, 40, { milliseconds }, 40 * round)
        expect(await texts(runner.run(work.shards))).toEqual(work.expected)
        for (const shard of work.shards) wanted.push(await shardKey(shard))
      }
      expect(await hitting).toEqual(mishaps)
      const counts = doneBy(log)
      // A worker may have died between its result and its note, so some are not noted; none is anybody else's.
      for (const key of counts.keys()) expect(wanted).toContain(key)
      const again = [...counts.values()].reduce((total, times) => total + times - 1, 0)
      const seconds = ((performance.now() - started) / 1000).toFixed(0)
      console.log(
        `${wanted.length} shards in ${seconds} s, ${mishaps.kills} kills, ${mishaps.restarts} restarts, ${mishaps.cuts} cuts; ${again} done again`,
      )
    } finally {
      await workers.end()
      await runner.close()
      await proxy.close()
      await server.stop()
      rmSync(folder, { recursive: true })
    }
  },
)
