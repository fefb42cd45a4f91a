/**
 * Planted bugs for the laws of the ops: each mutant of the files `<definition>.mutants.ts` is killed by every law that claims
 * to see it, and no law of an op is without a mutant.
 *
 * A mutant is the reference with one op replaced. With the op replaced by itself, the law holds on the case that killed the
 * mutant. So the bug kills it, and not the replacement.
 *
 * Tests src/verify/ops/.
 */
import { readdirSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import { createBackend } from '../../src/backends/select.ts'
import { catalog, kernelNames, kernels, type KernelName, type OpName } from '../../src/ops/catalog.ts'
import { opLaws } from '../../src/verify/ops/index.ts'
import type { Case } from '../../src/verify/law.ts'
import type { BackendLaw } from '../../src/verify/ops/law.ts'
import { breachOf } from '../harness/mutate.ts'
import { killingRuns } from '../harness/seed.ts'
import { readSources } from '../harness/syntax.ts'
import { testsOf } from '../harness/tested.ts'
import { mutants, mutantsByDefinition } from './all_mutants.ts'
import type { Mutant } from './mutant.ts'

const reference = await createBackend('reference')
/** Cached verdicts of laws without arguments on backends without a bug, which several mutants need. */
const soundVerdicts = new Map<string, Promise<void>>()

/** @throws Error if the case that killed the mutant breaks the law without the bug too */
async function expectSound(law: BackendLaw, mutant: Mutant, killer: Case | null): Promise<void> {
  const check = async (): Promise<void> =>
    expect(await law.predicate(mutant.plantNothing(reference), killer ?? {})).not.toBe(false)
  if (killer !== null) return check()
  const key = `${mutant.op} ${law.sentence}`
  const known = soundVerdicts.get(key) ?? check()
  soundVerdicts.set(key, known)
  return known
}

describe.each(mutants.map((mutant) => [`${mutant.op} ${mutant.bug}`, mutant] as const))('%s', (_, mutant) => {
  test.each(mutant.laws.map((law) => [law.sentence, law] as const))('is seen by: %s', async (_, law) => {
    const breach = await breachOf(law, mutant.plant(reference), killingRuns(law))
    if (breach === null) throw new Error('expected a case that breaks the law, got none')
    await expectSound(law, mutant, breach.counterexample)
    expect(reference.liveBuffers).toBe(0)
  })
})

/** The file of src/ops that defines each kernel: that of its own name, or the one whose contracts have its op. */
async function definitions(): Promise<Map<KernelName, string>> {
  const namesIn = (folder: string): string[] =>
    readdirSync(new URL(folder, import.meta.url)).map((file) => file.replace('.ts', ''))
  const files = namesIn('../../src/ops/')
  const found = new Map<KernelName, string>()
  for (const file of namesIn('../../src/ops/contracts/')) {
    const exports = Object.values(
      (await import(`../../src/ops/contracts/${file}.ts`)) as Record<string, unknown>,
    )
    for (const name of kernelNames)
      if (exports.includes(catalog[kernels[name].op as OpName]) && !found.has(name)) found.set(name, file)
  }
  for (const name of kernelNames) if (files.includes(name)) found.set(name, name)
  return found
}

/** The file whose mutants may be of any op. */
const inCatalog = 'catalog'

/** Mutants in another file than their definition's, and where they belong. */
function astray(
  mutantsOf: ReadonlyMap<string, readonly Mutant[]>,
  fileOf: ReadonlyMap<KernelName, string>,
): string[] {
  return [...mutantsOf].flatMap(([file, list]) =>
    list
      .filter(({ op }) => file !== inCatalog && fileOf.get(op) !== file)
      .map(({ op, bug }) => `${file}.mutants.ts: ${op} ${bug}: expected ${fileOf.get(op)}.mutants.ts`),
  )
}

test('each mutant stands in the file that has the name of its definition; one elsewhere is found', async () => {
  const fileOf = await definitions()
  expect(astray(mutantsByDefinition, fileOf)).toEqual([])
  expect(new Set(mutantsByDefinition.keys())).toEqual(new Set([inCatalog, ...fileOf.values()]))
  const [log] = mutantsByDefinition.get('exp')?.filter(({ op }) => op === 'log') ?? []
  expect(astray(new Map([['log_sum_exp', [log]]]), fileOf)).toEqual([
    `log_sum_exp.mutants.ts: log ${log.bug}: expected exp.mutants.ts`,
  ])
})

test('each definition has a page of laws that has its name or names it', async () => {
  const pages = readSources('src/verify/ops')
  const lawsOf = (definition: string): string[] => testsOf(`src/ops/${definition}.ts`, pages)
  const found = new Set((await definitions()).values())
  expect([...found].filter((definition) => lawsOf(definition).length === 0)).toEqual([])
  expect(lawsOf('attention')).toContain('src/verify/ops/attention.ts')
  expect(lawsOf('sum_squares')).toEqual(['src/verify/ops/sum.ts'])
  expect(lawsOf('subtract')).toEqual([])
})

test('every op has a mutant', () => {
  const mutated = new Set(mutants.map(({ op }) => op))
  expect(kernelNames.filter((name) => !mutated.has(name))).toEqual([])
})

test('every law of an op is broken by a mutant', () => {
  const broken = new Set(mutants.flatMap((mutant) => mutant.laws.map(({ sentence }) => sentence)))
  const sentences = opLaws.map(({ sentence }) => sentence)
  expect(sentences.filter((sentence) => !broken.has(sentence))).toEqual([])
})

test('every law that judges a mutant is in the suite of src/verify', () => {
  const sentences = new Set(opLaws.map(({ sentence }) => sentence))
  const judges = mutants.flatMap(({ laws }) => laws.map(({ sentence }) => sentence))
  expect(judges.filter((sentence) => !sentences.has(sentence))).toEqual([])
})
