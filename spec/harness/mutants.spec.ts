/**
 * `npm run mutants` derives the changes it names, plants each at its offset only, draws the same sample for the same seed, and
 * counts a mutant as found only if a test fails with it and passes without it.
 */
import { describe, expect, test } from 'vitest'
import { deriveMutants, findAgain, kinds, plantMutant, type Mutant } from '../../scripts/mutants/derive.ts'
import { whyEquivalent } from '../../scripts/mutants/equivalent.ts'
import { Judge, type Ground } from '../../scripts/mutants/judge.ts'
import { nearestSpecs, usersOf } from '../../scripts/mutants/nearest.ts'
import type { FileRun } from '../../scripts/mutants/reporter.ts'
import { candidatesOf, drawSlots, folderOf, whyExcluded } from '../../scripts/mutants/sample.ts'
import { chooseValid, summaryOf, tableOf, type Entry } from '../../scripts/mutants/state.ts'
import { type Module, parseModule, readSources } from './syntax.ts'
import { testsOf } from './tested.ts'

const parse = (text: string, path = 'src/ops/add.ts'): Module => parseModule({ path, text })

/** The texts that the mutants of a kind make of a source. */
function planted(text: string, kind: string): string[] {
  return deriveMutants(parse(text))
    .filter((mutant) => mutant.kind === kind)
    .map((mutant) => plantMutant(text, mutant))
}

const examples: Record<(typeof kinds)[number], [text: string, ...mutants: string[]][]> = {
  boundary: [
    ['a < b', 'a <= b'],
    ['a >= b', 'a > b'],
  ],
  equality: [['a === b', 'a !== b']],
  arithmetic: [['a + b * c', 'a - b * c', 'a + b / c'], ['a -= b', 'a += b'], ["'a' + b"]],
  rounding: [['Math.floor(a)', 'Math.ceil(a)']],
  extreme: [['Math.max(a, b)', 'Math.min(a, b)']],
  logic: [['a && b', 'a || b']],
  negation: [['if (!a) b()', 'if (a) b()']],
  flag: [['f(true)', 'f(false)']],
  constant: [['a[1]', 'a[2]'], ['2 ** a'], ['a & 0xff'], ['0.5 * a']],
  bound: [['a.slice(b, 2)', 'a.slice(b + 1, 2)']],
  'property dropped': [['f({ a, b: 1 })', 'f({ b: 1 })', 'f({ a })'], ['const a = { b }']],
  'spread dropped': [
    ['f({ ...a, b })', 'f({ b })'],
    ['[a, ...b]', '[a]'],
  ],
  'argument dropped': [['f(a, b)', 'f(a)'], ['f(a)', 'f()'], ['Math.min(a)']],
  'arguments swapped': [
    ['f(a, b, c)', 'f(b, a, c)', 'f(a, c, b)'],
    ['Math.min(a, b)'],
    ['f(a, a)'],
    ['f(a, () => b)'],
  ],
  'default ignored': [['a ?? b', 'b']],
  'exit removed': [
    ['for (const a of b) { if (a) continue; c() }', 'for (const a of b) { ; c() }'],
    ['if (a) { throw new Error(b + 1) }', ';'],
    ['if (a) b()'],
    ['if (a) throw b; else c()'],
    ['function f() { if (a) return `none` }'],
  ],
  order: [['a.sort((b, c) => b - c)', 'a.sort()', 'a.sort((c, b) => b - c)']],
}

describe('a kind of mutants makes of a source', () => {
  test.each(kinds.flatMap((kind) => examples[kind].map(([text, ...mutants]) => ({ kind, text, mutants }))))(
    '$kind: $text',
    ({ kind, text, mutants }) => expect(planted(text, kind).toSorted()).toEqual(mutants.toSorted()),
  )
})

test.each([
  ["import { a } from './b.ts'"],
  ['type A = 1 | 2'],
  ['interface A { b: true }'],
  ['let a: 1'],
  ["throw new RangeError('a' + (b + 1))"],
  ['const a = new UsageError(b, c + 1)'],
  ['const a = `${b + 1}`'],
  ['// a + b'],
])('no mutant is derived from %s', (text) => expect(deriveMutants(parse(text))).toEqual([]))

test('every mutant of a real source has its line and offset, and makes another text that parses', () => {
  const { path, text } = readSources('src/masks').filter((source) => source.path.endsWith('budget.ts'))[0]
  const mutants = deriveMutants(parse(text, path))
  expect(mutants.length).toBeGreaterThan(20)
  for (const mutant of mutants) {
    expect(text.split('\n')[mutant.line - 1].trim()).toBe(mutant.context)
    const changed = plantMutant(text, mutant)
    expect(changed).not.toBe(text)
    parse(changed)
  }
})

test('a mutant is not planted at an offset with another text', () => {
  const [mutant] = deriveMutants(parse('a < b'))
  expect(() => plantMutant('x = a < b', mutant)).toThrow('expected < at 2')
})

test('a mutant is located again after lines have moved, but not after its line has changed', () => {
  const [, mutant] = deriveMutants(parse('f(a < b)\n\nif (a < b) c()')).filter(
    ({ kind }) => kind === 'boundary',
  )
  const now = deriveMutants(parse('f(a < b)\n\n\n\nif (a < b) c()'))
  expect(findAgain(mutant, now)).toMatchObject({ kind: 'boundary', line: 5 })
  expect(findAgain(mutant, deriveMutants(parse('if (a < c) b()')))).toBeNull()
})

/** Whether another mutant is the same. */
const isSame =
  (mutant: Mutant) =>
  ({ file, start, kind, after }: Mutant): boolean =>
    [file, start, kind, after].join() === [mutant.file, mutant.start, mutant.kind, mutant.after].join()

describe('a sample', () => {
  const line = 'export const a = f(b < c, d)\n'
  const modules = [
    parse(line.repeat(30), 'src/eval/a.ts'),
    parse(line.repeat(9), 'src/ops/b.ts'),
    parse(line, 'src/library/index.ts'),
    parse(line, 'src/web/view/c.ts'),
  ]
  const draw = (seed: number) => drawSlots(candidatesOf(modules), 12, seed)

  /** The mutant of each place, where the type check refuses some. */
  const fill = (seed: number, refusedFiles: (mutants: readonly Mutant[]) => string[]): Promise<Entry[]> =>
    chooseValid(draw(seed), (mutants) => Promise.resolve(new Set(refusedFiles(mutants))))

  test('is spread over folders by their lines, with at least one mutant of each, and over kinds', () => {
    const slots = draw(1)
    expect(slots.map(({ folder }) => folder)).toEqual([
      ...Array.from({ length: 8 }, () => 'src/eval'),
      ...Array.from({ length: 3 }, () => 'src/ops'),
      'src/library',
    ])
    // The three kinds in these lines take turns.
    for (let i = 0; i < 12; i += 3)
      expect(new Set(slots.slice(i, i + 3).map(({ kind }) => kind)).size).toBe(3)
  })

  test('is the same for the same seed only', () => {
    expect(draw(1)).toEqual(draw(1))
    expect(draw(1)).not.toEqual(draw(2))
  })

  test('counts what the rules exclude', () => {
    expect(candidatesOf(modules).leftOut).toEqual({ 'needs a browser': 3 })
    expect(whyExcluded('src/masks/budget.ts')).toBeNull()
  })

  test('has no mutant twice, and each mutant is in a place of its kind and folder', async () => {
    const entries = await fill(1, () => [])
    expect(new Set(entries.map(({ file, start, kind }) => `${file} ${start} ${kind}`)).size).toBe(12)
    expect(entries.map(({ file, kind }) => [folderOf(file), kind])).toEqual(
      draw(1).map(({ folder, kind }) => [folder, kind]),
    )
  })

  test('replaces a mutant that the type check refuses with another of its kind', async () => {
    const refused = draw(1)[0].queue[0]
    const entries = await fill(1, (mutants) => (mutants.some(isSame(refused)) ? [refused.file] : []))
    expect(entries.filter(({ verdict }) => verdict === 'waiting')).toHaveLength(12)
    expect(entries[0]).toMatchObject({ verdict: 'waiting', kind: refused.kind })
    expect(entries.at(-1)).toEqual({ ...refused, verdict: 'invalid' })
    expect(entries.filter(isSame(refused))).toHaveLength(1)
  })

  test('fills a place with another kind if the type check refuses every mutant of its kind', async () => {
    const { folder, kind } = draw(1)[0]
    const entries = await fill(1, (mutants) =>
      mutants.filter((mutant) => mutant.kind === kind).map(({ file }) => file),
    )
    const valid = entries.filter(({ verdict }) => verdict === 'waiting')
    expect(valid).toHaveLength(12)
    expect(valid.map((entry) => entry.kind)).not.toContain(kind)
    expect(folderOf(valid[0].file)).toBe(folder)
  })

  test('takes the first valid mutant of a queue, however many mutants are checked together', async () => {
    const queue = ['a', 'b', 'c', 'd'].flatMap((name) => deriveMutants(parse('a < b', `src/ops/${name}.ts`)))
    const slot = { folder: 'src/ops', kind: 'boundary', queue, others: [] } as const
    const one = await chooseValid([slot], () => Promise.resolve(new Set<string>()))
    expect(one.map(({ file, verdict }) => [file, verdict])).toEqual([['src/ops/a.ts', 'waiting']])
  })

  test('leaves out a mutant that breaks the types of another file only', async () => {
    const guilty = draw(1)[0].queue[0]
    const entries = await fill(1, (mutants) => (mutants.some(isSame(guilty)) ? ['src/web/view/c.ts'] : []))
    expect(entries.filter(({ verdict }) => verdict === 'invalid')).toEqual([
      { ...guilty, verdict: 'invalid' },
    ])
  })
})

test('the spec files of a source are ordered: the same name first, then by steps and folder; unrelated files are left out', () => {
  const modules = [
    parse('', 'src/masks/budget.ts'),
    parse("import './budget.ts'", 'src/masks/index.ts'),
    parse("import type { A } from './budget.ts'", 'src/masks/types.ts'),
    parse('', 'spec/masks/budget.spec.ts'),
    parse("import '../../src/masks/budget.ts'", 'spec/masks/near.spec.ts'),
    parse("import '../../src/masks/budget.ts'", 'spec/eval/other.spec.ts'),
    parse("import 'shadowllm/masks'", 'spec/masks/door.spec.ts'),
    parse("import '../../src/masks/types.ts'", 'spec/masks/types.spec.ts'),
    parse("start('src/masks/budget.ts')", 'spec/cli/program.spec.ts'),
  ]
  const users = usersOf(
    modules.map((module) =>
      module.path === 'spec/masks/budget.spec.ts'
        ? parse("import '../../src/masks/index.ts'", module.path)
        : module,
    ),
    { 'shadowllm/masks': 'src/masks/index.ts' },
  )
  const specs = modules.map(({ path }) => path).filter((path) => path.startsWith('spec/'))
  const own = testsOf('src/masks/budget.ts', modules)
  expect(nearestSpecs('src/masks/budget.ts', specs, users, { own })).toEqual([
    'spec/masks/budget.spec.ts',
    'spec/masks/near.spec.ts',
    'spec/masks/door.spec.ts',
    'spec/cli/program.spec.ts',
    'spec/eval/other.spec.ts',
  ])
  const named = ['spec/masks/budget.spec.ts', 'spec/masks/types.spec.ts']
  expect(nearestSpecs('src/masks/budget.ts', specs, users, { own: named }).slice(0, 2)).toEqual(named)
  const seconds = new Map([['spec/masks/near.spec.ts', 30]])
  expect(nearestSpecs('src/masks/budget.ts', specs, users, { own, seconds })[2]).toBe(
    'spec/masks/near.spec.ts',
  )
})

/** For each spec file, whether each test passes, hangs or fails with so many planted mutants. */
type Behaviour = Record<string, (mutants: number) => 'passes' | 'fails' | 'hangs' | 'is late'>

/** A judge over simulated spec files, and its runs: the files, with the number of planted mutants. */
function judgeOf(
  behaviour: Behaviour,
  {
    aloneNothingRuns = false,
    breaks = () => false,
  }: { aloneNothingRuns?: boolean; breaks?: (mutants: number) => boolean } = {},
): { judge: Judge; runs: string[] } {
  const runs: string[] = []
  let standing = 0
  const ground: Ground = {
    folder: '/checkout',
    async with(mutants, work) {
      standing = mutants.length
      try {
        return await work()
      } finally {
        standing = 0
      }
    },
    run(_script, args) {
      const specs = args.filter((arg) => arg.endsWith('.spec.ts'))
      const alone = args.includes('-t')
      runs.push(`${specs.join('+')} ${standing}${alone ? ' alone' : ''}`)
      const became = specs.map((spec) => ({ spec, how: behaviour[spec](standing) }))
      const end = became.findIndex(({ how }) => how !== 'passes')
      const { how } = became[end] ?? {}
      // The files behind one that fails end without their tests.
      const ended = how === undefined || how === 'fails' ? became : became.slice(0, end)
      const lines = ended.map(({ spec, how: own }, i): string => {
        const test = `law of ${spec}`
        const ran = end < 0 || i <= end
        const run: FileRun = {
          spec,
          seconds: 2,
          passed: ran && own !== 'fails' ? [test] : [],
          failed: ran && own === 'fails' ? [{ test, message: 'wrong' }] : [],
        }
        return `@mutants ${JSON.stringify(run)}\n`
      })
      const killed = how === 'hangs' ? 'silent' : how === 'is late' ? 'late' : null
      const isBroken = how === 'fails' || breaks(standing)
      const output = alone && aloneNothingRuns ? '' : lines.join('')
      return Promise.resolve({ code: isBroken ? 1 : 0, output, killed })
    },
  }
  return { judge: new Judge(ground, 1), runs }
}

const someMutant: Mutant = deriveMutants(parse('a < b'))[0]

describe('a mutant is judged', () => {
  test('found by a test that fails with it and passes without it', async () => {
    const { judge, runs } = judgeOf({
      'a.spec.ts': () => 'passes',
      'b.spec.ts': (mutants) => (mutants > 0 ? 'fails' : 'passes'),
    })
    expect(await judge.judge(someMutant, ['a.spec.ts', 'b.spec.ts'])).toEqual({
      verdict: 'found',
      by: { spec: 'b.spec.ts', test: 'law of b.spec.ts', message: 'wrong' },
      tried: 2,
      of: 2,
    })
    expect(runs).toEqual(['a.spec.ts+b.spec.ts 1', 'b.spec.ts 0 alone'])
  })

  test('survived if its test cannot run alone and the file fails without the mutant', async () => {
    const { judge, runs } = judgeOf({ 'a.spec.ts': () => 'fails' }, { aloneNothingRuns: true })
    expect(await judge.judge(someMutant, ['a.spec.ts'])).toMatchObject({ verdict: 'survived' })
    expect(runs).toEqual(['a.spec.ts 1', 'a.spec.ts 0 alone', 'a.spec.ts 0'])
  })

  test('undecided if the time limit left spec files out', async () => {
    const { judge } = judgeOf({ 'a.spec.ts': () => 'passes', 'b.spec.ts': () => 'passes' })
    const verdict = await judge.judge(someMutant, ['a.spec.ts', 'b.spec.ts'], 0)
    expect(verdict).toEqual({ verdict: 'undecided', by: null, tried: 0, of: 2 })
  })

  test('survived if the only failing test fails without the mutant too', async () => {
    const { judge, runs } = judgeOf({ 'a.spec.ts': () => 'passes', 'b.spec.ts': () => 'fails' })
    expect(await judge.judge(someMutant, ['a.spec.ts', 'b.spec.ts'])).toMatchObject({
      verdict: 'survived',
      by: null,
    })
    expect(runs).toEqual(['a.spec.ts+b.spec.ts 1', 'b.spec.ts 0 alone', 'b.spec.ts 0'])
    expect([...judge.broken]).toEqual(['b.spec.ts'])
  })

  test('found by a hang if the tests end without the mutant', async () => {
    const { judge } = judgeOf({ 'a.spec.ts': (mutants) => (mutants > 0 ? 'hangs' : 'passes') })
    expect(await judge.judge(someMutant, ['a.spec.ts'])).toMatchObject({ verdict: 'timeout', by: null })
  })

  test('survived if the tests hang without the mutant too', async () => {
    const { judge } = judgeOf({ 'a.spec.ts': () => 'hangs' })
    expect(await judge.judge(someMutant, ['a.spec.ts'])).toMatchObject({ verdict: 'survived' })
  })

  test('survived only after all spec files ran: in one process, and those of the full tier in another', async () => {
    const specs = ['a.spec.ts', 'b.full.spec.ts', 'c.spec.ts', 'd.full.spec.ts']
    const { judge, runs } = judgeOf(Object.fromEntries(specs.map((spec) => [spec, () => 'passes'])))
    expect(await judge.judge(someMutant, specs)).toMatchObject({ verdict: 'survived', tried: 4, of: 4 })
    expect(runs).toEqual(['a.spec.ts+c.spec.ts 1', 'b.full.spec.ts+d.full.spec.ts 1'])
    expect(judge.took).toEqual(new Map(specs.map((spec) => [spec, 2])))
  })

  test('by the files behind one that hangs or fails without the mutant', async () => {
    for (const how of ['hangs', 'fails'] as const) {
      const { judge, runs } = judgeOf({
        'a.spec.ts': () => 'passes',
        'b.spec.ts': () => how,
        'c.spec.ts': (mutants) => (mutants > 0 ? 'fails' : 'passes'),
      })
      const specs = ['a.spec.ts', 'b.spec.ts', 'c.spec.ts']
      expect(await judge.judge(someMutant, specs)).toMatchObject({ verdict: 'found', by: { spec: specs[2] } })
      expect(runs.filter((run) => run.endsWith(' 1'))).toEqual([
        'a.spec.ts+b.spec.ts+c.spec.ts 1',
        'c.spec.ts 1',
      ])
      expect([...judge.broken]).toEqual(['b.spec.ts'])
    }
  })

  test('found by a run that fails outside of its spec files with the mutant only', async () => {
    const breaking = (breaks: (mutants: number) => boolean) =>
      judgeOf({ 'a.spec.ts': () => 'passes' }, { breaks }).judge.judge(someMutant, ['a.spec.ts'])
    expect(await breaking((mutants) => mutants > 0)).toMatchObject({ verdict: 'found', by: { test: '' } })
    expect(await breaking(() => true)).toMatchObject({ verdict: 'survived', tried: 1 })
  })

  test('undecided if its time ends in the middle of the spec files', async () => {
    const { judge } = judgeOf({ 'a.spec.ts': () => 'passes', 'b.spec.ts': () => 'is late' })
    const verdict = await judge.judge(someMutant, ['a.spec.ts', 'b.spec.ts'], 60)
    expect(verdict).toMatchObject({ verdict: 'undecided', tried: 1, of: 2 })
  })
})

/** The reasons why mutants of a source are equivalent, of those that have one. */
function reasons(text: string, path: string): string[] {
  return deriveMutants(parse(text, path)).flatMap((mutant) => {
    const why = whyEquivalent(mutant)
    return why === null ? [] : [`${mutant.kind}: ${mutant.before} -> ${mutant.after || 'nothing'}`]
  })
}

test.each([
  ['src/criteria/a.ts', 'const a = correlation(b[i], b[j])', ['arguments swapped: b[i], b[j] -> b[j], b[i]']],
  ['src/criteria/a.ts', 'const a = covariance(b[i], b[j])', []],
  [
    'src/verify/a.ts',
    'f(a, { runs: 40, cases: b })',
    ['property dropped: runs: 40,  -> nothing', 'constant: 40 -> 41'],
  ],
  ['src/verify/a.ts', 'f(a, { runs: 40, most: 40 })', ['property dropped: runs: 40,  -> nothing']],
  ['src/verify/a.ts', 'f(a, { runs, most: 40 })', []],
  ['src/engine/a.ts', 'f(a, { runs: 40 })', []],
  [
    'src/verify/a.ts',
    'oneof(\n  { withCrossShrink: true },\n a)',
    ['property dropped: withCrossShrink: true -> nothing', 'flag: true -> false'],
  ],
])('equivalent mutants of %s: %s', (path, text, expected) => {
  expect(reasons(text, path)).toEqual(expected)
})

test('the rate counts a hang as found and leaves out equivalent, invalid and gone mutants', () => {
  const verdicts = ['found', 'found', 'timeout', 'undecided', 'equivalent', 'invalid', 'gone'] as const
  const mutants = verdicts.map((verdict): Entry => ({ ...someMutant, verdict }))
  expect(summaryOf({ commit: 'c0ffee', seed: 1, leftOut: {}, mutants })).toContain('3 of 4 found (75.0 %)')
  expect(tableOf([{ ...someMutant, verdict: 'survived', tried: 2, of: 9, seconds: 5 }])).toBe(
    'src/ops/add.ts:1 | boundary | < -> <= | SURVIVED | 2 of 9 files, 5 s\n',
  )
})
