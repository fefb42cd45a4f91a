/**
 * Jobs, their store, and what joins their results: equal jobs have equal keys, nothing that was damaged or forged is
 * believed, and no name leads out of the store.
 *
 * Tests src/jobs/folder_place.ts and src/jobs/job_store.ts.
 */
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, utimesSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { canonicalJson } from '../../src/io/canonical_json.ts'
import { folderPlace } from '../../src/jobs/folder_place.ts'
import { parseS3Url } from '../../src/jobs/s3_place.ts'
import { checkHash, parseJob, jobKey, jobText, type Job } from '../../src/jobs/job.ts'
import { doJoin, jobIdOf, joinJob, parseQueuedJob, splitJoined } from '../../src/jobs/queued_job.ts'
import { memoryStore, JobStore } from '../../src/jobs/job_store.ts'
import { InputError } from '../../src/tensor/errors.ts'
import { kills, killsEach, lawForAll, stateLaw } from '../harness/seed.ts'
import { temporaryFolder } from '../harness/temporary_folder.ts'

const folder = temporaryFolder()

const hash = fc
  .uint8Array({ minLength: 32, maxLength: 32 })
  .map((bytes) => Buffer.from(bytes).toString('hex'))
/** Numbers that the strict reader takes: integers are held exactly, or refused. */
const number = fc.oneof(
  fc.integer(),
  fc.double({ noNaN: true, noDefaultInfinity: true, max: 1e9, min: -1e9 }),
)
const leaf = fc.oneof(number, fc.string(), fc.boolean(), fc.constant(null))
const value = fc.oneof(leaf, fc.array(leaf), fc.dictionary(fc.string(), leaf)) as fc.Arbitrary<never>
const job: fc.Arbitrary<Job> = fc.record({
  kind: fc.constantFrom('calibrate', 'score', 'join'),
  settings: fc.dictionary(fc.string({ unit: 'grapheme' }), value),
  files: fc.dictionary(fc.stringMatching(/^[a-z0-9-]{1,9}$/), hash),
}) as fc.Arbitrary<Job>
const isWhole = (value: Job): boolean => {
  try {
    return jobText(value).length > 0
  } catch {
    return false
  }
}
const wholeJob = job.filter(isWhole)

describe('a job', () => {
  type Parse = typeof parseJob

  const isItsText = lawForAll(
    'round-trips through its text',
    { one: wholeJob },
    (parse: Parse, { one }): void => expect(jobText(parse(jobText(one), 'job'))).toBe(jobText(one)),
  )
  stateLaw(isItsText, parseJob)

  test('a mutant that loses the settings is killed', () =>
    kills(isItsText, (text, subject) => ({ ...parseJob(text, subject), settings: {} })))

  const isOfEquals = lawForAll(
    'has the key of equal jobs and of no other',
    { one: wholeJob, other: wholeJob },
    async (key: typeof jobKey, { one, other }) => {
      const same = jobText(one) === jobText(other)
      expect((await key(one)) === (await key(other))).toBe(same)
      const turned = {
        files: one.files,
        settings: Object.fromEntries(Object.entries(one.settings).toReversed()),
        kind: one.kind,
      }
      expect(await key(turned)).toBe(await key(one))
    },
  )
  stateLaw(isOfEquals, jobKey)

  test('a mutant that depends on the order of settings is killed', () =>
    kills(isOfEquals, async (one) => JSON.stringify(Object.entries(one.settings)) + jobText(one)))

  const keepsFiles = lawForAll(
    'has another key with another file',
    { one: wholeJob, name: hash },
    async (key: (one: Job) => Promise<string>, { one, name }): Promise<void> => {
      const more = { ...one, files: { ...one.files, input: name } }
      const others = {
        ...one,
        files: { ...one.files, input: name.replace(/^./, name.startsWith('0') ? '1' : '0') },
      }
      expect(await key(more)).not.toBe(await key(others))
    },
  )
  stateLaw(keepsFiles, jobKey)

  test('a mutant whose key omits the files is killed', () =>
    kills(keepsFiles, (one: Job): Promise<string> => jobKey({ ...one, files: {} })))

  test.each([
    ['no text', 7],
    ['nothing', ''],
    ['no object', '[]'],
    ['no kind', '{"files":{},"settings":{}}'],
    ['a path as its kind', '{"files":{},"kind":"../join","settings":{}}'],
    ['a path as a file', '{"files":{"a":"../../../../etc/passwd"},"kind":"join","settings":{}}'],
    ['a hash in capitals', canonicalJson({ files: { a: 'A'.repeat(64) }, kind: 'join', settings: {} })],
    ['settings that are a list', '{"files":{},"kind":"join","settings":[]}'],
    ['code beside it', '{"code":"1","files":{},"kind":"join","settings":{}}'],
    ['another order', '{"kind":"join","files":{},"settings":{}}'],
    ['a key twice', '{"files":{},"kind":"join","kind":"join","settings":{}}'],
    ['too much', `{"files":{},"kind":"join","settings":{"a":"${'a'.repeat(2 ** 18)}"}}`],
  ])('is refused with %s', (_, text) => {
    expect(() => parseJob(text, 'job')).toThrow(InputError)
  })

  const isRefusedOrItself = lawForAll(
    'from any text is refused in one line, or is the job of that text',
    { text: fc.string() },
    (parse: Parse, { text }): void => {
      let found: Job
      try {
        found = parse(text, 'job')
      } catch (error) {
        expect(error).toBeInstanceOf(InputError)
        expect((error as Error).message).not.toContain('\n')
        return
      }
      expect(jobText(found)).toBe(text)
    },
  )
  stateLaw(isRefusedOrItself, parseJob)

  killsEach('a mutant that %s is killed', isRefusedOrItself, {
    'takes anything': () => ({ kind: 'join', settings: {}, files: {} }),
    'lets the engine parse': (text) => JSON.parse(String(text)) as Job,
  })

  test('of the queue must match its id', async () => {
    const one: Job = { kind: 'join', settings: {}, files: {} }
    const id = jobIdOf(await jobKey(one))
    expect(await parseQueuedJob(id, { shard: jobText(one) })).toMatchObject({ job: one })
    const other = { shard: jobText({ ...one, settings: { a: 1 } }) }
    for (const [badId, data] of [
      [id, other],
      [undefined, { shard: jobText(one) }],
      [id, null],
      [id, { shard: null }],
      [id, 'text'],
    ] as const)
      await expect(parseQueuedJob(badId, data)).rejects.toThrow(InputError)
  })

  test('has a hash as its only name', () => {
    for (const name of [
      '',
      '..',
      'a'.repeat(63),
      'g'.repeat(64),
      `${'a'.repeat(64)}/`,
      1,
      null,
      ['a'.repeat(64)],
    ])
      expect(() => checkHash(name)).toThrow(InputError)
  })
})

const stores = {
  memory: async () => memoryStore(),
  folder: async () => new JobStore(await folderPlace(mkdtempSync(join(folder, 'store-')))),
}

describe.each(Object.entries(stores))('a store in %s', (_, open) => {
  const givesBack = lawForAll(
    'returns what was written, and nothing under other names',
    { bytes: fc.uint8Array(), name: hash, other: hash },
    async (change: (store: JobStore) => JobStore, { bytes, name, other }): Promise<void> => {
      const store = change(await open())
      expect(await store.read(name)).toBeNull()
      await store.write(name, bytes)
      expect(await store.has(name)).toBe(true)
      expect(await store.read(name)).toEqual(bytes)
      expect(await store.has(other)).toBe(name === other)
      const input = await store.add(bytes)
      expect(await store.add(bytes)).toBe(input)
      expect(await store.read(input)).toEqual(bytes)
      await store.close()
    },
    { runs: 20 },
  )
  stateLaw(givesBack, (store) => store)

  test('a mutant with one name for all results is killed', async () => {
    const one = '0'.repeat(64)
    const nameless = ({ place }: JobStore): JobStore =>
      new JobStore({
        ...place,
        has: () => place.has(one),
        read: () => place.read(one),
        write: (_name, file) => place.write(one, file),
      })
    await kills(givesBack, nameless)
  })

  test('refuses names that are paths', async () => {
    const store = await open()
    for (const name of ['../a', '/etc/passwd', 'a'.repeat(63)]) {
      await expect(store.has(name)).rejects.toThrow(InputError)
      await expect(store.read(name)).rejects.toThrow(InputError)
      await expect(store.write(name, new Uint8Array())).rejects.toThrow(InputError)
    }
  })

  test('rejects an input with other bytes than those that it is named by', async () => {
    const store = await open()
    const [mine, other] = [Uint8Array.of(1, 2, 3), Uint8Array.of(1, 2, 4)]
    const name = await store.add(mine)
    expect(await store.readInput(name)).toEqual(mine)
    await store.place.remove(name)
    expect(await store.readInput(name)).toBeNull()
    // A result has the name of its job.
    await store.write(name, other)
    expect(await store.read(name)).toEqual(other)
    await expect(store.readInput(name)).rejects.toMatchObject({ code: 'SHARD_DAMAGED' })
    await store.close()
  })

  test('rejects a truncated or changed file, and replaces it', async () => {
    const name = 'ab'.repeat(32)
    const bytes = Uint8Array.of(1, 2, 3, 4, 5)
    const whole = await fileOf(bytes)
    const damaged = [
      ...Array.from(whole, (_byte, length) => whole.slice(0, length)),
      ...Array.from(whole, (_byte, at) => whole.map((byte, i) => (i === at ? byte ^ 1 : byte))),
      Uint8Array.of(...whole, 0),
    ]
    for (const file of damaged) {
      const store = await open()
      await store.place.write(name, file)
      await expect(store.read(name)).rejects.toMatchObject({ code: 'SHARD_DAMAGED' })
      expect(await store.readOrRemove(name)).toBeNull()
      expect(await store.has(name)).toBe(false)
      await store.close()
    }
  })
})

/** What a store makes of bytes. */
async function fileOf(bytes: Uint8Array): Promise<Uint8Array> {
  const files: Uint8Array[] = []
  const place = {
    name: 'one',
    has: async () => false,
    read: async () => null,
    write: async (_: string, file: Uint8Array) => void files.push(file),
    remove: async () => {},
    close: async () => {},
  }
  await new JobStore(place).write('0'.repeat(64), bytes)
  return files[0]
}

describe('a folder of results', () => {
  test('is cleared of partial files older than a day, and of nothing else', async () => {
    const root = join(folder, 'swept')
    mkdirSync(join(root, 'ab'), { recursive: true })
    const place = (name: string, hours: number): void => {
      const path = join(root, 'ab', name)
      writeFileSync(path, 'half')
      const at = Date.now() / 1000 - 3600 * hours
      utimesSync(path, at, at)
    }
    place('old.1-00000000-0.tmp', 25)
    place('new.1-00000000-0.tmp', 1)
    place('cd'.repeat(32), 50)
    await folderPlace(root)
    expect(readdirSync(join(root, 'ab'))).toEqual(['cd'.repeat(32), 'new.1-00000000-0.tmp'])
  })

  test('that cannot be created is refused in one line', async () => {
    const path = join(folder, 'a file')
    writeFileSync(path, 'here')
    await expect(folderPlace(path)).rejects.toMatchObject({ code: 'SHARD_STORE', exitCode: 5 })
    expect(readFileSync(path, 'utf8')).toBe('here')
  })

  test.each(['s3://', 's3://A', 's3://bucket/../other', 's3://bucket/a b', 's3://bucket/./a', 's3:bucket'])(
    '%s is not an address',
    (text) => expect(() => parseS3Url(text)).toThrow('expected an address such as s3://bucket/prefix'),
  )
  test('addresses', () => {
    expect(parseS3Url('s3://bucket')).toEqual({ bucket: 'bucket', prefix: '' })
    expect(parseS3Url('s3://my.bucket/a/b_c/')).toEqual({ bucket: 'my.bucket', prefix: 'a/b_c/' })
    expect(parseS3Url('/mnt/shards')).toBeNull()
  })
})

describe('joined results', () => {
  /** More than ten too: "10" comes before "2" as text. */
  const parts = fc
    .constantFrom(0, 1, 2, 10, 11, 12, 40, 101)
    .chain((count) => fc.array(fc.uint8Array({ maxLength: 9 }), { minLength: count, maxLength: count }))

  const joinsThem = lawForAll(
    'are the results, in order',
    { list: parts },
    async (joiner: typeof doJoin, { list }): Promise<void> => {
      const keys = list.map((_, i) => String(i).padStart(64, '0'))
      const read = async (name: string): Promise<Uint8Array> => list[Number(name)]
      const joined = await joiner(joinJob(keys), { read })
      expect(splitJoined(joined, list.length)).toEqual(list)
      for (let length = 0; length < Math.min(50, joined.length); length++)
        expect(() => splitJoined(joined.slice(0, length), list.length)).toThrow(InputError)
      expect(() => splitJoined(joined.slice(0, -1), list.length)).toThrow(InputError)
      expect(() => splitJoined(Uint8Array.of(...joined, 0), list.length)).toThrow(InputError)
      for (const count of [list.length - 1, list.length + 1])
        expect(() => splitJoined(joined, count)).toThrow(InputError)
    },
  )
  stateLaw(joinsThem, doJoin)

  test.each<[string, (names: string[]) => string[]]>([
    ['sorts names as texts', (names) => names.toSorted()],
    ['turns the order round', (names) => names.toReversed()],
  ])('a mutant that %s is killed', (_, sort) =>
    kills(joinsThem, (one, context) => {
      const names = sort(Object.keys(one.files))
      return doJoin(one, { ...context, read: (name) => context.read(names[Number(name)]) })
    }),
  )
})
