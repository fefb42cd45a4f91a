/**
 * The cache of the hub: in the layout that Python shares, filled by several at once, and closed to links that lead out.
 *
 * Tests src/platform/links.ts.
 */
import {
  lstatSync,
  mkdirSync,
  promises,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import { expect, onTestFinished, test, vi } from 'vitest'
import { openHubModel } from '../../../src/io/hub.ts'
import type { ShadowError } from '../../../src/tensor/errors.ts'
import {
  codeOf,
  content,
  expectWhole,
  hubCase,
  noise,
  repository,
  stateHubLaw,
  temporary,
  torchRepository,
  weights,
  type HubCase,
  type HubLaw,
} from './hub_cases.ts'
import { gitSha1, sha256 } from '../mock_hub.ts'

const commit = 'a'.repeat(40)

const codeOfError = (error: unknown): string => (error as ShadowError).code

const entry = ({ folder }: HubCase, name: string): string => join(folder, 'snapshots', commit, name)

// ---- The laws ---------------------------------------------------------------------------------------------------

/** models--org--name/{blobs,snapshots,refs} as huggingface_hub describes it; a second time nothing is fetched. */
const layoutIsShared: HubLaw = async (open) => {
  const one = await hubCase()
  const opened = await open(one.hub.id, {}, one.settings)
  expect(opened).toEqual({
    folder: join(one.folder, 'snapshots', commit),
    origin: { repository: one.hub.id, revision: 'main', commit },
  })
  expect(readdirSync(one.folder).toSorted()).toEqual(['blobs', 'refs', 'snapshots'])
  expect(readFileSync(join(one.folder, 'refs/main'), 'utf8')).toBe(commit)
  const expected = ['config.json', 'generation_config.json', 'merges.txt', weights, 'vocab.json']
  expect(readdirSync(opened.folder).toSorted()).toEqual(expected.toSorted())
  for (const name of expected) {
    const bytes = one.hub.files.get(name) as Buffer
    const hash = name === weights ? sha256(bytes) : gitSha1(bytes)
    expect(readlinkSync(entry(one, name))).toBe(`../../blobs/${hash}`)
    expect(readFileSync(entry(one, name)).equals(bytes)).toBe(true)
  }
  const before = one.hub.served.length
  one.hub.asked.length = 0
  await open(one.hub.id, {}, one.settings)
  expect([before, one.hub.served]).toEqual([5, []])
}

/** What Python left is used: a blob without its link, and a file where there are no links. */
const othersWorkIsUsed: HubLaw = async (open) => {
  const one = await hubCase()
  mkdirSync(join(one.folder, 'blobs'), { recursive: true })
  writeFileSync(join(one.folder, 'blobs', sha256(content)), content)
  mkdirSync(join(one.folder, 'snapshots', commit), { recursive: true })
  writeFileSync(entry(one, 'config.json'), one.hub.files.get('config.json') as Buffer)
  await open(one.hub.id, {}, one.settings)
  expectWhole(one)
  expect(one.hub.served).toEqual(['vocab.json', 'merges.txt', 'generation_config.json'])
  expect(lstatSync(entry(one, 'config.json')).isFile()).toBe(true)
}

/** A link to other content of the same length is put right. */
const wrongLinkIsReplaced: HubLaw = async (open) => {
  const one = await hubCase()
  await open(one.hub.id, {}, one.settings)
  const wrong = 'c'.repeat(64)
  writeFileSync(join(one.folder, 'blobs', wrong), noise(content.length, 'wrong'))
  rmSync(entry(one, weights))
  symlinkSync(`../../blobs/${wrong}`, entry(one, weights))
  await open(one.hub.id, {}, one.settings)
  expectWhole(one)
}

/** Puts a link in the place of a folder, to an empty one outside of the cache. */
function leadOut(path: string): string {
  const outside = temporary()
  rmSync(path, { recursive: true, force: true })
  symlinkSync(outside, path)
  return outside
}

const linksThatLeadOutAreRefused: HubLaw = async (open) => {
  for (const place of ['blobs', `snapshots/${commit}`, 'snapshots', 'refs', '']) {
    const one = await hubCase()
    await open(one.hub.id, {}, one.settings)
    const outside = leadOut(join(one.folder, place))
    expect([place, await codeOf(() => open(one.hub.id, {}, one.settings))]).toEqual([place, 'HUB_CACHE'])
    expect(readdirSync(outside)).toEqual([])
    await one.hub.stop()
  }
  const secret = join(temporary(), 'secret')
  writeFileSync(secret, 'secret')
  const planted = await hubCase()
  mkdirSync(join(planted.folder, 'blobs'), { recursive: true })
  symlinkSync(secret, join(planted.folder, 'blobs', `${sha256(content)}.partial`))
  expect(await codeOf(() => open(planted.hub.id, {}, planted.settings))).toBe('HUB_CACHE')
  expect(readFileSync(secret, 'utf8')).toBe('secret')
  for (const name of ['config.json', 'merges.txt', weights, 'tokenizer.json', 'model.safetensors']) {
    const files = name === 'tokenizer.json' ? repository(['config.json', weights]) : torchRepository()
    const one = await hubCase(files)
    await open(one.hub.id, {}, one.settings)
    rmSync(entry(one, name), { force: true })
    symlinkSync(secret, entry(one, name))
    for (const offline of [false, true])
      expect([name, await codeOf(() => open(one.hub.id, { offline }, one.settings))]).toEqual([
        name,
        'HUB_CACHE',
      ])
    expect(readFileSync(secret, 'utf8')).toBe('secret')
    await one.hub.stop()
  }
}

/** Three are in the middle of the weights; then one gets something else, and the others go on when it has failed. */
const writersDoNotMeet: HubLaw = async (open) => {
  const one = await hubCase()
  const held: ((rest: Buffer) => void)[] = []
  one.hub.misbehave = ({ at, response, body }) => {
    if (at !== 'store') return false
    response.writeHead(200, { 'content-length': body.length }).write(body.subarray(0, 1000))
    held.push((rest) => response.end(rest))
    return true
  }
  const inTheMiddle = new Set<number>()
  const all = [1, 2, 3].map((i) =>
    open(
      one.hub.id,
      {
        onProgress: ({ name }) => {
          if (name === weights && inTheMiddle.size < 3 && inTheMiddle.add(i).size === 3)
            held[0](noise(content.length - 1000, 'wrong'))
        },
      },
      one.settings,
    ),
  )
  const failures = all.map((opened) =>
    opened.then(() => Promise.reject(new Error('it ended well')), codeOfError),
  )
  const failure = await Promise.any(failures).catch(() => null)
  // All end before anything is judged: a download that goes on would write into a folder that was removed.
  one.hub.misbehave = () => false
  for (const go of held.slice(1)) go(content.subarray(1000))
  const ends = await Promise.allSettled(all)
  expect(failure).toBe('HUB_HASH')
  expect(ends.map(({ status }) => status).toSorted()).toEqual(['fulfilled', 'fulfilled', 'rejected'])
  expectWhole(one)
}

const cacheTroubleIsSaid: HubLaw = async (open) => {
  const file = join(temporary(), 'file')
  writeFileSync(file, '')
  for (const cache of [file, join(file, 'below')]) {
    const one = await hubCase(torchRepository(), { cache })
    expect(await codeOf(() => open(one.hub.id, {}, one.settings))).toBe('HUB_CACHE')
    await one.hub.stop()
  }
}

// ---- What they judge --------------------------------------------------------------------------------------------

stateHubLaw('the layout is that of Python, and a second download fetches nothing', layoutIsShared, {
  'a folder of another name': ['hub/cache.ts', "'models', ...id", "'model', ...id"],
})

stateHubLaw('files that others put into the cache are used', othersWorkIsUsed, {
  'everything again': ['hub.ts', 'if (!(await cache.hasExactly(commit, file))) {', '{'],
  'no look at blobs': ['hub.ts', '!(await cache.hasBlob(file))', 'true'],
})

stateHubLaw('a link to other content is replaced', wrongLinkIsReplaced, {
  'any blob of the right length': ['hub/cache.ts', 'fileNameOf(real) === file.hash', 'true'],
})

stateHubLaw(
  'links that leave the cache are refused, and nothing is written through them',
  linksThatLeadOutAreRefused,
  {
    'any link': ['hub/cache.ts', 'isBelow(root, real)) return', 'true) return'],
    'links in the way are not looked at': [
      'hub/cache.ts',
      'await makeFolder(step)\n      await this.#checkInside(step)',
      'await makeFolder(step)',
    ],
    'no last look': [
      'hub.ts',
      '  await selectFiles(cachedPlace(cache, commit), options.file)\n  return {',
      '  return {',
    ],
    'a part that is a link': ['../platform/files.ts', ' | noLink', ''],
  },
)

stateHubLaw('parallel downloads do not conflict', writersDoNotMeet, {
  'one partial file for all': [
    'hub/download.ts',
    'const mine = temporaryName(partialOf(place))',
    'const mine = partialOf(place)',
  ],
})

stateHubLaw('a cache that cannot be written is reported', cacheTroubleIsSaid, {
  'the system in its own words': [
    'hub/cache.ts',
    'error instanceof ShadowError || refused === null',
    'error instanceof Error',
  ],
})

test('without links there are copies, with the same properties', async () => {
  const refuse = vi.spyOn(promises, 'symlink')
  onTestFinished(() => refuse.mockRestore())
  refuse.mockRejectedValue(Object.assign(new Error('no links here'), { code: 'EPERM', syscall: 'symlink' }))
  const one = await hubCase()
  await openHubModel(one.hub.id, {}, one.settings)
  expect(refuse).toHaveBeenCalledTimes(5)
  expectWhole(one)
  expect(lstatSync(entry(one, weights)).isFile()).toBe(true)
  one.hub.asked.length = 0
  await openHubModel(one.hub.id, {}, one.settings)
  expect(one.hub.served).toEqual([])
  await one.hub.stop()
  await openHubModel(one.hub.id, { offline: true }, one.settings)
})

test('any other failure to link is an error of the cache', async () => {
  const refuse = vi.spyOn(promises, 'symlink')
  onTestFinished(() => refuse.mockRestore())
  refuse.mockRejectedValue(Object.assign(new Error('no room'), { code: 'ENOSPC', syscall: 'symlink' }))
  const one = await hubCase()
  expect(await codeOf(() => openHubModel(one.hub.id, {}, one.settings))).toBe('HUB_CACHE')
})
