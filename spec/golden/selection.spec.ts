/**
 * The released code's three selections give the masks of its own steps, in the specification and in the engine, on every case of
 * fixtures/golden/selection.
 *
 * Tests src/spec/select.ts, src/masks/selection.ts and src/masks/budget.ts.
 */
import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { makeBudget } from '../../src/masks/budget.ts'
import { selectMask as selectByEngine } from '../../src/masks/selection.ts'
import { selectMask } from '../../src/spec/select.ts'
import type { Budget } from '../../src/spec/select.ts'
import { fixtures } from './golden.ts'

/** A case: scores [L, U], and a row of bits for each layer and scope, 1 for a kept unit. */
interface SelectionCase {
  readonly kind: 'heads' | 'neurons'
  readonly scores: readonly (readonly number[])[]
  readonly percent: number
  readonly perlayer: readonly string[]
  readonly global: readonly string[]
  readonly hybrid: readonly string[]
}

const cases = JSON.parse(
  readFileSync(`${fixtures}golden/selection/released.json`, 'utf8'),
) as readonly SelectionCase[]
const scopes = { perlayer: 'per-layer', global: 'global', hybrid: 'hybrid' } as const
type Name = keyof typeof scopes

/** The masks [L] of [U] of a kind of unit. */
type Select = (scores: readonly Float32Array[], kind: SelectionCase['kind'], budget: Budget) => Float32Array[]

const bySpecification: Select = (scores, kind, budget) => {
  const others = scores.map(() => new Float32Array(1))
  const units = kind === 'heads' ? { heads: scores, neurons: others } : { heads: others, neurons: scores }
  return [...selectMask(units, budget)[kind]]
}

const byEngine: Select = (scores, kind, { sparsity, scope, policy }) => {
  const [L, U] = [scores.length, scores[0].length]
  const flat = Float32Array.from(scores.flatMap((row) => [...row]))
  const shape = { layers: L, heads: 1, neurons: 1, [kind]: U }
  const table = { shape, heads: new Float32Array(L), neurons: new Float32Array(L), [kind]: flat }
  const mask = selectByEngine(table, makeBudget(sparsity, { scope, policy }))[kind]
  return scores.map((_, l) => mask.slice(l * U, (l + 1) * U))
}

/** Tells that all masks of a scope are those of the file. */
function judge(select: Select, name: Name): void {
  for (const { kind, scores, percent, ...masks } of cases) {
    const rows = scores.map((row) => Float32Array.from(row))
    const budget = { sparsity: percent / 100, scope: scopes[name], policy: 'paper-compatible' } as const
    const found = select(rows, kind, budget).map((row) => row.join(''))
    expect(found, `${kind} [${rows.length}, ${rows[0].length}] at ${percent} %`).toEqual(masks[name])
  }
}

const names = Object.keys(scopes) as Name[]

test('there are cases of both kinds, some of whose layers end with fewer units than hybrid scope means to give', () => {
  expect(new Set(cases.map(({ kind }) => kind)).size).toBe(2)
  expect(cases.some(({ hybrid }) => hybrid.some((row) => !row.includes('1')))).toBe(true)
})

test.each(names)('%s: the masks of the specification', (name) => judge(bySpecification, name))
test.each(names)('%s: the masks of the engine', (name) => judge(byEngine, name))

test.each<[string, Name, (budget: Budget) => Budget]>([
  ['a scope by the rule of this project', 'hybrid', (budget) => ({ ...budget, policy: 'exact' })],
  ['hybrid scope without giving back', 'hybrid', (budget) => ({ ...budget, scope: 'global' })],
  ['layers that compete', 'perlayer', (budget) => ({ ...budget, scope: 'global' })],
  ['layers that do not compete', 'global', (budget) => ({ ...budget, scope: 'per-layer' })],
])('%s is found', (_, name, change) => {
  for (const right of [bySpecification, byEngine])
    expect(() => judge((scores, kind, budget) => right(scores, kind, change(budget)), name)).toThrow(
      'to deeply equal',
    )
})
