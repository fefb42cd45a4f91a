/**
 * Which files of a model are taken, and what a revision means without a network.
 *
 * Tests src/io/hub.ts and src/io/hub/listing.ts.
 */
import { existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect } from 'vitest'
import {
  codeOf,
  content,
  hubCase,
  noise,
  repository,
  stateHubLaw,
  weights,
  type HubLaw,
} from './hub_cases.ts'

const commit = 'a'.repeat(40)
const other = 'b'.repeat(40)

// ---- The laws ---------------------------------------------------------------------------------------------------

/** Repositories, and which of their files are downloaded. */
const needed: Readonly<Record<string, { readonly files: Map<string, Buffer>; readonly expected: string[] }>> =
  {
    'safetensors before .bin': {
      files: repository(['config.json', 'pytorch_model.bin', 'model.safetensors']),
      expected: ['config.json', 'model.safetensors'],
    },
    'parts before another format': {
      files: repository(['config.json', 'pytorch_model.bin'], 'model.safetensors.index.json', [
        'model-2.safetensors',
        'model-1.safetensors',
      ]),
      expected: ['config.json', 'model.safetensors.index.json', 'model-2.safetensors', 'model-1.safetensors'],
    },
    'a whole before parts': {
      files: repository(['config.json', 'pytorch_model.bin'], 'pytorch_model.bin.index.json', ['p1.bin']),
      expected: ['config.json', 'pytorch_model.bin'],
    },
    'parts of torch': {
      files: repository(['config.json', 'p3.bin'], 'pytorch_model.bin.index.json', ['p1.bin', 'p2.bin']),
      expected: ['config.json', 'pytorch_model.bin.index.json', 'p1.bin', 'p2.bin'],
    },
    'tokenizer.json before a pair': {
      files: repository(['config.json', 'tokenizer.json', 'merges.txt', 'vocab.json', 'model.safetensors']),
      expected: ['config.json', 'tokenizer.json', 'model.safetensors'],
    },
    'tokenizer.json before half a pair': {
      files: repository(['config.json', 'tokenizer.json', 'vocab.json', 'model.safetensors']),
      expected: ['config.json', 'tokenizer.json', 'model.safetensors'],
    },
    'what chats need, where it is': {
      files: repository([
        'config.json',
        'chat_template.jinja',
        'tokenizer_config.json',
        'model.safetensors',
        'x.jinja',
      ]),
      expected: ['config.json', 'chat_template.jinja', 'tokenizer_config.json', 'model.safetensors'],
    },
    'no tokenizer at all': {
      files: repository(['config.json', 'model.safetensors', 'notes.txt']),
      expected: ['config.json', 'model.safetensors'],
    },
  }

const onlyTheNeededComes: HubLaw = async (open) => {
  for (const [what, { files, expected }] of Object.entries(needed)) {
    const one = await hubCase(files)
    const { folder } = await open(one.hub.id, {}, one.settings)
    expect([what, readdirSync(folder).toSorted()]).toEqual([what, expected.toSorted()])
    // Small ones first and an index before its parts: weights that are there say that all is.
    expect([what, one.hub.served.at(-1)]).toEqual([what, expected.at(-1)])
    await one.hub.stop()
  }
}

const incompleteIsRefused: HubLaw = async (open) => {
  const index = 'model.safetensors.index.json'
  const cases: [string, Map<string, Buffer>][] = [
    ['MODEL_CONFIG', repository(['model.safetensors'])],
    ['MODEL_WEIGHTS', repository(['config.json', 'tf_model.h5'])],
    [
      'SHARD_MISSING',
      new Map(
        [...repository(['config.json'], index, ['1.safetensors'])].filter(
          ([name]) => name !== '1.safetensors',
        ),
      ),
    ],
    ['SHARD_FORMAT', repository(['config.json'], index, ['1.bin'])],
    ['PATH_UNSAFE', repository(['config.json'], index, ['../../../escaped.safetensors'])],
    ['PATH_UNSAFE', repository(['config.json'], index, ['a\\..\\b.safetensors'])],
    ['PATH_UNSAFE', repository(['config.json'], index, ['%2e%2e/b.safetensors'])],
    ['PATH_UNSAFE', repository(['config.json'], index, ['//host/b.safetensors'])],
    [
      'JSON_SYNTAX',
      new Map([
        ['config.json', Buffer.from('{}')],
        [index, Buffer.from('{')],
      ]),
    ],
  ]
  for (const [code, files] of cases) {
    const one = await hubCase(files)
    expect(await codeOf(() => open(one.hub.id, {}, one.settings))).toBe(code)
    expect(existsSync(join(one.folder, 'refs/main'))).toBe(false)
    expect(readdirSync(one.cache)).toEqual(['models--someone--tiny'])
    await one.hub.stop()
  }
}

const offlineMeansTheLastComplete: HubLaw = async (open) => {
  const one = await hubCase()
  const offline = (revision?: string): ReturnType<typeof open> =>
    open(one.hub.id, { offline: true, revision }, one.settings)
  expect(await codeOf(() => offline())).toBe('HUB_OFFLINE')
  one.hub.references.set('v1', commit).set('refs/pr/1', commit)
  for (const revision of [undefined, 'v1', 'refs/pr/1']) await open(one.hub.id, { revision }, one.settings)
  // The branch moves on, but its new state does not arrive.
  one.hub.references.set('main', other)
  one.hub.files.set(weights, noise(content.length, 'new'))
  one.hub.files.set('config.json', Buffer.from('{"model_type":"opt","new":1}'))
  one.hub.misbehave = ({ at, send }) => at === 'store' && (send(404, {}), true)
  expect(await codeOf(() => open(one.hub.id, {}, one.settings))).toBe('HUB_NOT_FOUND')
  await one.hub.stop()
  one.hub.asked.length = 0
  for (const revision of [undefined, 'main', 'v1', 'refs/pr/1', commit]) {
    const { folder, origin } = await offline(revision)
    expect(origin).toEqual({ repository: one.hub.id, revision: revision ?? 'main', commit })
    expect(readFileSync(join(folder, weights)).equals(content)).toBe(true)
  }
  for (const revision of ['v2', other]) expect(await codeOf(() => offline(revision))).toBe('HUB_OFFLINE')
  const settings = { ...one.settings, offline: true }
  expect((await open(one.hub.id, {}, settings)).origin.commit).toBe(commit)
  // With a network the hub is asked: what is kept does not take its place by itself.
  expect(await codeOf(() => open(one.hub.id, {}, one.settings))).toBe('HUB_NETWORK')
  expect(await codeOf(() => open(one.hub.id, { offline: false }, settings))).toBe('HUB_NETWORK')
}

const offlineWantsAllOfIt: HubLaw = async (open) => {
  const index = 'model.safetensors.index.json'
  const one = await hubCase(repository(['config.json'], index, ['1.safetensors', '2.safetensors']))
  const { folder } = await open(one.hub.id, {}, one.settings)
  const offline = (): Promise<string> => codeOf(() => open(one.hub.id, { offline: true }, one.settings))
  for (const name of ['2.safetensors', index, 'config.json']) {
    rmSync(join(folder, name))
    expect(await offline()).toBe('HUB_OFFLINE')
    await open(one.hub.id, {}, one.settings)
  }
  writeFileSync(join(one.folder, 'refs/main'), '../../../etc')
  expect(await offline()).toBe('HUB_CACHE')
}

const namesAreJudged: HubLaw = async (open) => {
  const one = await hubCase()
  for (const id of [
    '../x',
    'a/b/c',
    'a',
    '',
    '/a/b',
    'a/..',
    'a\\b/c',
    'a b/c',
    'a/b?c',
    'a--b/c',
    'a/b.git',
    'ä/b',
  ])
    expect([id, await codeOf(() => open(id, {}, one.settings))]).toEqual([id, 'HUB_ID'])
  for (const revision of ['', '../x', '/main', 'a\\b', 'a/../b', 'a//b', 'CON', 'a\nb'])
    expect([revision, await codeOf(() => open(one.hub.id, { revision }, one.settings))]).toEqual([
      revision,
      'HUB_REVISION',
    ])
  expect(one.hub.asked).toEqual([])
  expect(readdirSync(one.cache)).toEqual([])
}

const oneFileIsNamed: HubLaw = async (open) => {
  const file = 'files/b.gguf'
  const one = await hubCase(repository(['config.json', 'model.safetensors', 'a.gguf', file]))
  const opened = (name: string, offline = false): ReturnType<typeof open> =>
    open(one.hub.id, { file: name, offline }, one.settings)
  expect(await codeOf(() => opened(file, true))).toBe('HUB_OFFLINE')
  const { folder, origin } = await opened(file)
  expect(one.hub.served).toEqual([file])
  expect(readFileSync(join(folder, file)).equals(one.hub.files.get(file) as Buffer)).toBe(true)
  expect(origin.repository).toBe(one.hub.id)
  expect((await opened(file, true)).folder).toBe(folder)
  // Neither another file nor the model in Hugging Face form is there.
  expect(await codeOf(() => opened('a.gguf', true))).toBe('HUB_OFFLINE')
  expect(await codeOf(() => open(one.hub.id, { offline: true }, one.settings))).toBe('HUB_OFFLINE')
  expect(await codeOf(() => opened('c.gguf'))).toBe('MODEL_WEIGHTS')
  one.hub.files.set('../escaped.gguf', noise(100))
  for (const offline of [false, true])
    expect(await codeOf(() => opened('../escaped.gguf', offline))).toBe('PATH_UNSAFE')
}

// ---- What they judge --------------------------------------------------------------------------------------------

stateHubLaw('only the needed files are downloaded, weights last', onlyTheNeededComes, {
  '.bin first': ['load.ts', "  'model.safetensors',\n", ''],
  'every part of a tokenizer': [
    'hub/selection.ts',
    "if (await place.has('tokenizer.json')) return ['tokenizer.json']",
    '',
  ],
  'no chats': ['hub/selection.ts', 'of chatFiles)', 'of [])'],
})

stateHubLaw('a repository that is no model is refused, and not cached', incompleteIsRefused, {
  'remembered too early': [
    'hub.ts',
    'await cache.prepare(commit)',
    'await cache.prepare(commit), await cache.writeReference(revision, commit)',
  ],
})

stateHubLaw('offline, a revision means the last complete commit', offlineMeansTheLastComplete, {
  'remembered before it is there': [
    'hub.ts',
    'await cache.prepare(commit)',
    'await cache.prepare(commit), await cache.writeReference(revision, commit)',
  ],
  'never remembered': ['hub.ts', 'await cache.writeReference(revision, commit)', ''],
  'kept for fresh': ['hub.ts', 'options.offline ?? used.offline', 'true'],
})

stateHubLaw('offline, an incomplete model is refused', offlineWantsAllOfIt, {
  'a part for the whole': ['hub/selection.ts', "return { names, missing: 'shard' }", 'continue'],
  'any reference': ['hub/cache.ts', 'if (isCommit(text)) return text', 'return text'],
})

stateHubLaw('invalid names are refused before any request', namesAreJudged, {
  'any id': ['hub/names.ts', 'parts.length === 2 &&', 'parts.length > 0 &&'],
  'any revision': [
    'hub/names.ts',
    "return safePath(text, 'revision')",
    "return text + safePath('a', '').slice(1)",
  ],
})

stateHubLaw('a named file is the whole model, online and offline', oneFileIsNamed, {
  'the file forgotten offline': ['hub.ts', 'revision, options.file)', 'revision, undefined)'],
  'the first GGUF file for the named one': [
    'hub/selection.ts',
    "missing: (await place.has(file)) ? null : 'file'",
    'missing: null',
  ],
})
