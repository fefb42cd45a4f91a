/**
 * A run over a queue ends with the results of one thread, each once, in spite of killed workers, restarts and network cuts.
 */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { openJobStore } from '../../src/jobs/open_store.ts'
import { QueueRunner } from '../../src/jobs/queue_runner.ts'
import { jobKey } from '../../src/jobs/job.ts'
import { runSeed } from '../harness/seed.ts'
import { doneBy, makeMishaps, spawnWorker, Workers, type Mishaps } from './chaos.ts'
import { startProxy, startServer, whyNoServer } from './server.ts'
import { echoJobs, texts } from './test_jobs.ts'

const count = 3
const milliseconds = 250

/** States the law for so many failures. */
export function stateChaos(mishaps: Mishaps): void {
  const { kills, restarts, cuts } = mishaps
  test.skipIf(whyNoServer !== null)(
    `${kills} kills, ${restarts} restarts and ${cuts} cuts lose nothing${whyNoServer ? `: ${whyNoServer}` : ''}`,
    { timeout: 1_200_000 },
    () => losesNothing(mishaps),
  )
}

async function losesNothing(mishaps: Mishaps): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), 'shadowllm-chaos-'))
  const server = await startServer()
  const proxy = await startProxy(() => server.port)
  const store = join(folder, 'store')
  const log = join(folder, 'log')
  writeFileSync(log, '')
  const place = { url: `redis://127.0.0.1:${proxy.port}`, queue: 'chaos', store, log }
  const workers = new Workers(count, () => spawnWorker(place))
  const runner = new QueueRunner({
    tools: await server.tools(),
    queue: place.queue,
    store: await openJobStore(store),
    attempts: 1000,
    every: 300,
  })
  try {
    const started = performance.now()
    // Rounds of work repeat until all failures have happened.
    const hit = { isOver: false }
    const scene = { workers, server, proxy, jobTime: milliseconds }
    const hitting = makeMishaps(mishaps, scene, runSeed()).finally(() => (hit.isOver = true))
    const wanted: string[] = []
    for (let round = 0; round === 0 || !hit.isOver; round++) {
      const work = await echoJobs(runner.store, 40, { milliseconds }, 40 * round)
      expect(await texts(runner.run(work.jobs))).toEqual(work.expected)
      for (const job of work.jobs) wanted.push(await jobKey(job))
    }
    expect(await hitting).toEqual(mishaps)
    const counts = doneBy(log)
    // A worker may die between its result and its note, so some jobs are not noted. Every noted job is one of this run.
    for (const key of counts.keys()) expect(wanted).toContain(key)
    const again = [...counts.values()].reduce((total, times) => total + times - 1, 0)
    const seconds = ((performance.now() - started) / 1000).toFixed(0)
    console.log(
      `${wanted.length} jobs in ${seconds} s, ${mishaps.kills} kills, ${mishaps.restarts} restarts, ${mishaps.cuts} cuts; ${again} done again`,
    )
  } finally {
    await workers.end()
    await runner.close()
    await proxy.close()
    await server.stop()
    rmSync(folder, { recursive: true })
  }
}
