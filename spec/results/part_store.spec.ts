/**
 * The store of parts: the same description gives the same result without work, and nothing damaged is believed.
 *
 * Tests src/io/canonical_json.ts.
 */
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import fc from 'fast-check'
import { beforeEach, describe, expect, test } from 'vitest'
import { openPartStore, partKey, PartStore, type PartDescription } from '../../src/results/part_store.ts'
import { canonicalJson } from '../../src/io/canonical_json.ts'
import { cacheFolder, list, sha256 } from '../../src/platform/platform.ts'
import { kills, lawForAll, stateLaw } from '../harness/seed.ts'
import { casesAtTier } from '../harness/tier.ts'
import { temporaryFolder } from '../harness/temporary_folder.ts'

const top = temporaryFolder()
let folder = ''
let count = 0
beforeEach(() => (folder = join(top, `${count++}`)))

const someValue = fc.jsonValue({ maxDepth: 3 }).map((value) => JSON.parse(JSON.stringify(value)) as unknown)
const someDescription = fc.dictionary(fc.string({ unit: 'binary' }), someValue, { maxKeys: 5 })

/** The same value, the keys of its objects in another order. */
function shuffled(value: unknown, order: (keys: string[]) => string[]): unknown {
  if (Array.isArray(value)) return value.map((item) => shuffled(item, order))
  if (typeof value !== 'object' || value === null) return value
  const entries = order(Object.keys(value)).map((key) => [
    key,
    shuffled((value as Record<string, unknown>)[key], order),
  ])
  return Object.fromEntries(entries) as unknown
}

describe('canonical JSON', () => {
  type Write = (value: unknown) => string

  const saysTheValue = lawForAll(
    'round-trips, so that different values have different texts',
    { value: someValue },
    (write: Write, { value }) => expect(JSON.parse(write(value))).toEqual(value),
  )
  stateLaw(saysTheValue, canonicalJson)

  const ignoresOrder = lawForAll(
    'does not depend on the order of keys',
    { value: someValue },
    (write: Write, { value }) =>
      expect(write(shuffled(value, (keys) => keys.toReversed()))).toBe(write(value)),
  )
  stateLaw(ignoresOrder, canonicalJson)

  test('has the published form (RFC 8785, section 3.2)', () => {
    const value = {
      numbers: [333333333.33333329, 1e30, 4.5, 2e-3, 0.000000000000000000000000001],
      string: '€$\u000F\nA\'B"\\\\"/',
      literals: [null, true, false],
    }
    expect(canonicalJson(value)).toBe(
      String.raw`{"literals":[null,true,false],"numbers":[333333333.3333333,1e+30,4.5,0.002,1e-27],"string":"€$\u000f\nA'B\"\\\\\"/"}`,
    )
    const keys = { '\u20ac': 1, '\r': 2, '\ufb33': 3, '1': 4, '\ud83d\ude00': 5, '\u0080': 6, '\u00f6': 7 }
    const order = Object.values(JSON.parse(canonicalJson(Object.entries(keys).map(String))) as string[])
    expect(order).toHaveLength(7)
    expect(Array.from(canonicalJson(keys).matchAll(/:(\d)/g), ([, digit]) => Number(digit))).toEqual([
      2, 4, 6, 7, 1, 5, 3,
    ])
  })

  test.each([
    [NaN],
    [Infinity],
    [() => 1],
    [new Float32Array(1)],
    ['\ud800'],
    [new Map()],
    [[undefined]],
    [1n],
  ])('refuses %s', (value) => expect(() => canonicalJson({ value })).toThrow(TypeError))

  test('mutants are killed: order kept, keys joined by hand', async () => {
    await kills(ignoresOrder, JSON.stringify as Write)
    const unquoted: Write = (value) => (typeof value === 'string' ? `"${value}"` : canonicalJson(value))
    await kills(saysTheValue, unquoted)
  })
})

type OpenStore = (folder: string) => Promise<Pick<PartStore, 'json' | 'files'>>

const someDamage = {
  value: someValue,
  where: fc.nat(999).map((n) => n / 1000),
  byte: fc.integer({ min: 1, max: 255 }),
  how: fc.constantFrom('change' as const, 'cut' as const, 'grow' as const),
}

/** Believes a file that is JSON and has the name of the part. */
class Trusting extends PartStore {
  override async json<T>(description: PartDescription, compute: () => T | Promise<T>): Promise<T> {
    try {
      const path = join(this.path, `${await partKey(description)}.json`)
      const { value } = JSON.parse(readFileSync(path, 'utf8')) as { value?: T }
      if (value !== undefined) return value
    } catch {
      // Not there, or no JSON.
    }
    return super.json(description, compute)
  }
}

/** Names parts by their first key only. */
class Hasty extends PartStore {
  override json<T>(description: PartDescription, compute: () => T | Promise<T>): Promise<T> {
    const [first = ''] = Object.keys(description).toSorted()
    return super.json({ [first]: description[first] }, compute)
  }
}

const openTrusting: OpenStore = async (path) => new Trusting((await openPartStore(path)).path)
const openHasty: OpenStore = async (path) => new Hasty((await openPartStore(path)).path)

describe('values', () => {
  /** A part is computed once, and read back the same. */
  const computesOnce = lawForAll(
    'are computed once for a description',
    { description: someDescription, value: someValue },
    async (open: OpenStore, { description, value }): Promise<void> => {
      const place = join(folder, `${count++}`)
      let computed = 0
      const compute = (): unknown => {
        computed++
        return value
      }
      const first = await (await open(place)).json(description, compute)
      expect(first).toEqual(value)
      const same = shuffled(description, (keys) => keys.toReversed()) as PartDescription
      expect(await (await open(place)).json(same, compute)).toEqual(value)
      expect(computed).toBe(1)
      await (await open(place)).json({ ...description, another: count }, compute)
      expect(computed).toBe(2)
    },
    { runs: casesAtTier(8, 25) },
  )
  stateLaw(computesOnce, openPartStore)

  /** After any change of the one file with the entry, the part is computed again, and then is there again. */
  const damageIsNoticed = lawForAll(
    'that were damaged are computed again',
    { ...someDamage },
    async (open: OpenStore, { value, where, byte, how }): Promise<void> => {
      const place = join(folder, `${count++}`)
      await (await open(place)).json({ part: 1 }, () => ({ value }))
      const path = join(place, readdirSync(place)[0])
      const bytes = readFileSync(path)
      const at = Math.floor(where * bytes.length)
      if (how === 'change') bytes[at] ^= byte
      const changed =
        how === 'cut' ? bytes.subarray(0, at) : how === 'grow' ? Buffer.concat([bytes, bytes]) : bytes
      writeFileSync(path, changed)
      const answers: unknown[] = []
      for (let i = 0; i < 2; i++)
        answers.push(await (await open(place)).json({ part: 1 }, () => ({ again: true })))
      expect(answers).toEqual([{ again: true }, { again: true }])
    },
    { runs: casesAtTier(15, 60) },
  )
  stateLaw(damageIsNoticed, openPartStore)

  test('mutants are killed: incomplete keys, unchecked entries', async () => {
    await kills(computesOnce, openHasty)
    await kills(damageIsNoticed, openTrusting)
  })

  test('are stored only when they were computed, and only what JSON can hold', async () => {
    const store = await openPartStore(folder)
    const failing = (): never => {
      throw new Error('no luck')
    }
    await expect(store.json({ a: 1 }, failing)).rejects.toThrow('no luck')
    await expect(store.json({ a: 1 }, () => NaN)).rejects.toThrow(TypeError)
    expect(await list(folder)).toEqual([])
  })

  test('of one description are not read under the key of another', async () => {
    const store = await openPartStore(folder)
    await store.json({ a: 1 }, () => 'first')
    const [name] = readdirSync(folder)
    writeFileSync(join(folder, `${await partKey({ a: 2 })}.json`), readFileSync(join(folder, name)))
    expect(await store.json({ a: 2 }, () => 'second')).toBe('second')
  })

  test('the key is the SHA-256 of the canonical description', async () => {
    expect(await partKey({ b: 1, a: 2 })).toBe(await sha256(new TextEncoder().encode('{"a":2,"b":1}')))
  })
})

describe('files', () => {
  const kinds = ['none', 'change', 'more', 'less', 'folder'] as const
  /** Whatever happens to one file of a folder, the folder is filled again, and holds what was written into it. */
  const filesAreWhole = lawForAll(
    'round-trip, or are written again',
    { damage: fc.constantFrom(...kinds) },
    async (open: OpenStore, { damage }): Promise<void> => {
      const place = join(folder, `${count++}`)
      let filled = 0
      const fill = (path: string): void => {
        filled++
        writeFileSync(join(path, 'one'), 'first')
        writeFileSync(join(path, 'two'), 'second')
      }
      const path = await (await open(place)).files({ part: 1 }, fill)
      if (damage === 'change') writeFileSync(join(path, 'two'), 'Second')
      if (damage === 'more') writeFileSync(join(path, 'three'), '')
      if (damage === 'less') rmSync(join(path, 'one'))
      if (damage === 'folder') rmSync(path, { recursive: true })
      const again = await (await open(place)).files({ part: 1 }, fill)
      expect(filled).toBe(damage === 'none' ? 1 : 2)
      const held = readdirSync(again).map((name) => [name, readFileSync(join(again, name), 'utf8')])
      expect(held).toEqual([
        ['one', 'first'],
        ['two', 'second'],
      ])
      expect(readdirSync(place)).toHaveLength(2)
    },
    {
      runs: 5,
      examples: kinds.map((damage) => ({ damage })),
    },
  )
  stateLaw(filesAreWhole, openPartStore)

  test('mutants are killed: every call fills, no call checks', async () => {
    class Forgetful extends PartStore {
      override files(_: PartDescription, fill: (folder: string) => void): Promise<string> {
        return super.files({ never: count++ }, fill)
      }
    }
    const looked = new Map<string, string>()
    class Blind extends PartStore {
      override async files(description: PartDescription, fill: (folder: string) => void): Promise<string> {
        const known = looked.get(this.path)
        if (known === undefined) looked.set(this.path, await super.files(description, fill))
        return known ?? (looked.get(this.path) as string)
      }
    }
    for (const Mutant of [Forgetful, Blind]) {
      const open: OpenStore = async (path) => new Mutant((await openPartStore(path)).path)
      await kills(filesAreWhole, open)
    }
  })

  test('are not kept when filling fails, and folders are refused', async () => {
    const store = await openPartStore(folder)
    const failing = (path: string): never => {
      writeFileSync(join(path, 'half'), 'x')
      throw new Error('no luck')
    }
    await expect(store.files({ a: 1 }, failing)).rejects.toThrow('no luck')
    await expect(store.files({ a: 1 }, (path) => mkdirSync(join(path, 'deep')))).rejects.toThrow(TypeError)
    expect(readdirSync(folder)).toEqual([])
  })

  test('a path keeps its content, and is the same for the same description', async () => {
    const path = await (await openPartStore(folder)).folder({ a: 1, b: 2 })
    writeFileSync(join(path, 'half'), 'x')
    expect(await (await openPartStore(folder)).folder({ b: 2, a: 1 })).toBe(path)
    expect(readdirSync(path)).toEqual(['half'])
  })
})

test('a cache that the system refuses is an error with its own code', async () => {
  writeFileSync(folder, 'a file')
  await expect(openPartStore(folder)).rejects.toMatchObject({ code: 'CACHE', exitCode: 5 })
})

test('the default is in the cache folder of the user', () => {
  const kept = process.env.XDG_CACHE_HOME
  try {
    process.env.XDG_CACHE_HOME = top
    expect(cacheFolder()).toBe(top)
    process.env.XDG_CACHE_HOME = 'relative'
    expect(cacheFolder()).toMatch(/\.cache$/)
  } finally {
    if (kept === undefined) delete process.env.XDG_CACHE_HOME
    else process.env.XDG_CACHE_HOME = kept
  }
})

test('a folder that is no text is refused', async () => {
  await expect(openPartStore(null as never)).rejects.toMatchObject({
    code: 'PATH',
    message: 'folder: expected text, got null',
    exitCode: 2,
  })
})
