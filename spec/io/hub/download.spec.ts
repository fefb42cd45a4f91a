/**
 * What comes over the network in pieces: it is taken up where it was, whatever ended it, and the whole is the file.
 *
 * Tests src/io/hub.ts and src/io/hub/patience.ts.
 */
import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import fc from 'fast-check'
import { expect } from 'vitest'
import type { DownloadProgress } from '../../../src/io/hub.ts'
import { endOwners, whileDying, type Counted } from '../../cli/dying_files.ts'
import { runSeed, scaledRuns } from '../../harness/seed.ts'
import { isQuick } from '../../harness/tier.ts'
import {
  codeOf,
  content,
  dropOnce,
  errorOf,
  expectWhole,
  hubCase,
  leftovers,
  misbehaving,
  noise,
  NOW,
  stateHubLaw,
  torchRepository,
  weights,
  type HubCase,
  type HubLaw,
} from './hub_cases.ts'
import { sha256, type Misbehaviour } from '../mock_hub.ts'

const storeRanges = ({ hub }: HubCase): (string | undefined)[] =>
  hub.asked.filter(({ at }) => at === 'store').map(({ range }) => range)

/** Ten places to stop at, drawn from the seed of the run. */
function places(count: number): number[] {
  return fc.sample(fc.integer({ min: 1, max: content.length - 1 }), { seed: runSeed(), numRuns: count })
}

/** Sends a little and drops the connection. */
const dropSoon: Misbehaviour = ({ response, body, range }) => {
  const first = content.length - body.length
  response.writeHead(range === undefined ? 200 : 206, {
    'content-length': body.length,
    ...(range !== undefined && {
      'content-range': `bytes ${first}-${content.length - 1}/${content.length}`,
    }),
  })
  response.write(body.subarray(0, 20_000), () => response.destroy())
  return true
}

// ---- The laws ---------------------------------------------------------------------------------------------------

const droppedIsResumed: HubLaw = async (open) => {
  for (const place of places(scaledRuns(10))) {
    const one = await hubCase()
    const onProgress = dropOnce(one, place)
    await open(one.hub.id, { onProgress }, one.settings)
    expectWhole(one)
    expect([storeRanges(one), one.waits]).toEqual([[undefined, `bytes=${place}-`], [500]])
    await one.hub.stop()
  }
}

const killedIsResumed: HubLaw = async (open) => {
  for (const place of places(scaledRuns(10))) {
    const one = await hubCase()
    const end = new AbortController()
    const stop = new Error('stopped')
    const onProgress = ({ loadedBytes, name }: DownloadProgress): void => {
      if (name === weights && loadedBytes >= place) end.abort(stop)
    }
    const { signal } = end
    await expect(open(one.hub.id, { signal, onProgress }, one.settings)).rejects.toBe(stop)
    const [partial] = leftovers(one.folder)
    const had = readFileSync(join(one.folder, 'blobs', partial)).length
    expect(had).toBeGreaterThan(0)
    await open(one.hub.id, {}, one.settings)
    expectWhole(one)
    // Not a byte of what was there is asked for again; nothing at all if that was everything.
    expect(storeRanges(one)).toEqual(had < content.length ? [undefined, `bytes=${had}-`] : [undefined])
    await one.hub.stop()
  }
}

const ignoredRangeStartsAgain: HubLaw = async (open) => {
  const one = await hubCase()
  const onProgress = dropOnce(one, 100_000, ({ send }) => {
    send(200, { 'content-length': content.length }, content)
    return true
  })
  await open(one.hub.id, { onProgress }, one.settings)
  expectWhole(one)
  expect(storeRanges(one)).toEqual([undefined, 'bytes=100000-'])
}

const wrongRangeIsRefused: HubLaw = async (open) => {
  for (const range of ['bytes 0-9/300000', 'bytes 100000-299999/300001', 'nothing']) {
    const one = await hubCase()
    const onProgress = dropOnce(one, 100_000, ({ send, body }) => {
      send(206, { 'content-range': range }, body)
      return true
    })
    expect(await codeOf(() => open(one.hub.id, { onProgress }, one.settings))).toBe('HUB_ANSWER')
    await one.hub.stop()
  }
}

const damagedPartIsNotBelieved: HubLaw = async (open) => {
  for (const damaged of [noise(1000, 'damage'), noise(content.length), noise(content.length + 1)]) {
    const one = await hubCase()
    await open(one.hub.id, {}, one.settings)
    const blob = join(one.folder, 'blobs', sha256(content))
    writeFileSync(blob, content.subarray(0, 10)) // half-written, under its final name
    writeFileSync(`${blob}.partial`, damaged)
    await open(one.hub.id, {}, one.settings)
    expectWhole(one)
    await one.hub.stop()
  }
}

/** Two processes that download at once die together at any of their file operations; the next process ends their work. */
const diedAnywhereIsResumed: HubLaw = async (open) => {
  const runTwo = (one: HubCase, at: number): Promise<Counted<unknown>> =>
    whileDying(at, () => Promise.allSettled([1, 2].map(() => open(one.hub.id, {}, one.settings))))
  const whole = await hubCase()
  const { operations } = await runTwo(whole, 0)
  expectWhole(whole)
  // Each of two other processes died with a part of every file that is complete by now.
  const blobs = join(whole.folder, 'blobs')
  for (const [i, name] of readdirSync(blobs).entries())
    for (const one of [i, i + 100])
      writeFileSync(join(blobs, `${name}.partial.${process.pid}-00000000-${one}.tmp`), 'part')
  endOwners(whole.cache)
  await open(whole.hub.id, {}, whole.settings)
  expectWhole(whole)
  await whole.hub.stop()
  const step = isQuick ? 9 : 2
  for (let at = 1 + (runSeed() % step); at <= operations; at += step) {
    const one = await hubCase()
    await runTwo(one, at)
    endOwners(one.cache)
    await open(one.hub.id, {}, one.settings)
    expectWhole(one)
    await one.hub.stop()
  }
}

const progressCountsBytes: HubLaw = async (open) => {
  const one = await hubCase()
  const seen: DownloadProgress[] = []
  await open(one.hub.id, { onProgress: (progress) => seen.push(progress) }, one.settings)
  const needed = ['config.json', 'vocab.json', 'merges.txt', 'generation_config.json', weights]
  const total = needed.reduce((sum, name) => sum + (one.hub.files.get(name) as Buffer).length, 0)
  expect(seen.at(-1)).toEqual({ loadedBytes: total, totalBytes: total, name: weights })
  expect(seen.map(({ totalBytes }) => totalBytes)).toEqual(seen.map(() => total))
  expect(seen.every(({ loadedBytes }, i) => i === 0 || loadedBytes >= seen[i - 1].loadedBytes)).toBe(true)
  const again: DownloadProgress[] = []
  await open(one.hub.id, { onProgress: (progress) => again.push(progress) }, one.settings)
  expect(again).toEqual([])
}

const silenceIsADrop: HubLaw = async (open) => {
  const one = await hubCase(torchRepository(), { stallAfter: 30 })
  one.hub.misbehave = ({ path }) => path.startsWith('/api/')
  const error = await errorOf(() => open(one.hub.id, {}, one.settings))
  expect([error.code, error.message.endsWith('got no data'), one.waits.length]).toEqual([
    'HUB_NETWORK',
    true,
    4,
  ])
}

const absenceIsNamed: HubLaw = async (open) => {
  const one = await hubCase(undefined, { endpoint: new URL('http://no-such-host.invalid') })
  const { message } = await errorOf(() => open(one.hub.id, {}, one.settings))
  expect(message).toMatch(/got (ENOTFOUND|EAI_AGAIN) \(no network, or no such host\)$/)
}

const busyIsWaitedFor: HubLaw = async (open) => {
  const one = await hubCase()
  const inAMinute = new Date(NOW + 60_000).toUTCString()
  const answers = [
    { status: 429, headers: { 'retry-after': '7' } },
    { status: 503, headers: {} },
    { status: 429, headers: { 'retry-after': inAMinute } },
  ]
  one.hub.misbehave = ({ path, send }) => {
    const next = path.includes('/tree/') ? answers.shift() : undefined
    if (next === undefined) return false
    const { status, headers } = next
    send(status, headers as Record<string, string>)
    return true
  }
  await open(one.hub.id, {}, one.settings)
  expectWhole(one)
  expect(one.waits).toEqual([7000, 1000, 60_000])
}

const patienceEnds: HubLaw = async (open) => {
  const cases: [string, number[], Misbehaviour][] = [
    ['HUB_BUSY', [], ({ send }) => (send(429, { 'retry-after': '3600' }), true)],
    ['HUB_BUSY', [50_000, 50_000], ({ send }) => (send(429, { 'retry-after': '50' }), true)],
    ['HUB_STATUS', [500, 1000, 2000, 4000], ({ send }) => (send(502, {}), true)],
    ['HUB_NETWORK', [500, 1000, 2000, 4000], ({ response }) => (response.destroy(), true)],
    // Each connection brings a little, which is too little to go on with for ever.
    ['HUB_NETWORK', [500, 1000, 2000, 4000], dropSoon],
  ]
  for (const [code, waits, answer] of cases) {
    const one = await hubCase()
    one.hub.misbehave = misbehaving(weights, answer)
    expect(await codeOf(() => open(one.hub.id, {}, one.settings))).toBe(code)
    expect(one.waits).toEqual(waits)
    await one.hub.stop()
  }
}

// ---- What they judge --------------------------------------------------------------------------------------------

stateHubLaw('a connection that drops at any byte is resumed there', droppedIsResumed, {
  'asking for everything again': [
    'hub/download.ts',
    'this.#done > 0 ? { range:',
    'this.#done < 0 ? { range:',
  ],
  'a range that begins one byte late': [
    'hub/download.ts',
    'range: `bytes=${this.#done}-`',
    'range: `bytes=${this.#done + 1}-`',
  ],
})

stateHubLaw('a download that is stopped at any byte resumes there', killedIsResumed, {
  'nothing left for the next time': [
    'hub/download.ts',
    'else await rename(mine, partialOf(place))',
    'else await remove(mine)',
  ],
  'a part that is not in the hash': [
    'hub/download.ts',
    'await this.#readBack(inherited)',
    'this.#done = inherited',
  ],
})

stateHubLaw(
  'two downloads that die together at any file operation are resumed, and nothing of them is left',
  diedAnywhereIsResumed,
  {
    'partial files of others left behind': ['hub.ts', 'await removePartials(cache, file)', ''],
    'a finished file that keeps its partial name': [
      'hub/download.ts',
      'await rename(free, mine)',
      'await rename(free, `${mine}.old`)',
    ],
  },
)

stateHubLaw('a server that ignores ranges is read from the start', ignoredRangeStartsAgain, {
  'going on where another beginning is sent': [
    'hub/download.ts',
    'if (status === 200) await this.#restart()',
    'if (status === 201) await this.#restart()',
  ],
})

stateHubLaw('a damaged part and a partial file are replaced', damagedPartIsNotBelieved, {
  'a damaged part for ever': [
    'hub/download.ts',
    'inherited > 0 ? await new Filling(download, growing).fill(0) : digest',
    'digest',
  ],
  'content that is trusted by its name': [
    'hub/cache.ts',
    '(await this.#isFile(path)) && (await sizeOf(path)) === file.size',
    'true',
  ],
})

stateHubLaw('a range that was not requested is refused', wrongRangeIsRefused, {
  'no look at the range': ['hub/download.ts', 'status === 206 && !asked', 'status === 207 && !asked'],
})

stateHubLaw('a busy server is retried after the time it states', busyIsWaitedFor, {
  'no ear for what the server asks': ['hub/patience.ts', 'retryAfter ?? FIRST_WAIT', 'FIRST_WAIT'],
  'dates as seconds': ['hub/requests.ts', 'Math.max(0, date - now)', 'date'],
})

stateHubLaw('retries end', patienceEnds, {
  'waiting for ever': ['hub/patience.ts', 'retryAfter > this.#budget.left', 'false'],
  'each thing with a budget of its own': ['hub/patience.ts', 'this.#budget.left -= retryAfter', ''],
  'any progress is enough': ['hub/download.ts', 'counted + LEAST_PROGRESS', 'counted + 1'],
})

stateHubLaw('a silent server counts as a dropped connection', silenceIsADrop)

stateHubLaw('where no host is found, the absence of a network is named', absenceIsNamed)

stateHubLaw('progress counts downloaded bytes', progressCountsBytes, {
  'counting files, not bytes': ['hub.ts', 'loadedBytes += bytes', 'loadedBytes++'],
})
