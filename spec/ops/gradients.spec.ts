/**
 * The catalogue says which op computes the gradient of which, and how its arguments are bound: every op has such a rule, or is
 * exempt for a reason. `laws.spec.ts` holds each rule against central differences, which are tried here.
 */
import { expect, test } from 'vitest'
import { kernelNames, kernels, type KernelName } from '../../src/ops/catalog.ts'
import { Data } from '../../src/testing/seeded_data.ts'
import { checkDerivative } from '../../src/verify/ops/gradients.ts'
import { boundBy } from '../../src/ops/op.ts'

/** Ops whose gradient has no rule, each with the reason. */
const exempt: Readonly<Partial<Record<KernelName, string>>> = {
  add: 'its gradient is the identity for both terms',
  cache_append: 'a copy; attention_backward goes straight to the keys and values',
  cache_append_i8: 'rounds to integers, for sequences that only read; learning runs over float32 caches',
  attention: 'its gradient holds for a whole sequence only: attentionGradient',
  attention_i8: 'reads a rounded cache, for sequences that only read; learning runs over float32 caches',
  exp: 'only inside other ops on the way to a loss',
  log: 'only inside other ops on the way to a loss',
  min_max: 'scales the input of the predictor, before anything that learns',
  sum: 'measures how fast memory is read; nothing learns through it',
  sum_squares: 'measures gradients, has none',
  adamw_step: 'learns from gradients, has none',
  top_k: 'a choice, not a smooth function',
  transpose: 'runs while a model is loaded, before anything that learns',
  transpose_bf16: 'runs while a model is loaded, before anything that learns',
  transpose_f16: 'runs while a model is loaded, before anything that learns',
  cholesky: 'folds weights of a sequence that only reads them',
  solve_cholesky: 'folds weights of a sequence that only reads them',
  copy_rows: 'packs the weights of a sequence that only reads them',
  narrow_bf16: 'runs while a model is loaded, before anything that learns',
  narrow_f16: 'runs while a model is loaded, before anything that learns',
  quantize_rows: 'runs while a model is loaded, before anything that learns',
  copy_rows_bf16: 'packs weights, which learn as float32 only',
  copy_rows_f16: 'packs weights, which learn as float32 only',
  copy_rows_i8: 'packs weights, which learn as float32 only',
  copy_rows_i4: 'packs weights, which learn as float32 only',
  copy_interleaved_rows: 'packs weights, which learn as float32 only',
  embedding_bf16: 'its table is half precision, which does not learn',
  embedding_f16: 'its table is half precision, which does not learn',
  embedding_i8: 'its table is int8, which does not learn',
  linear_i8: 'rounds its input to steps: flat almost everywhere, and its weights do not learn',
  linear_input_major_i8: 'rounds its input to steps: flat almost everywhere, and its weights do not learn',
  linear_i4: 'rounds its input to steps: flat almost everywhere, and its weights do not learn',
  linear_input_major_i4: 'rounds its input to steps: flat almost everywhere, and its weights do not learn',
}

/** Ops that are the gradient of another, as the catalogue's rules and attentionGradient use them. */
function gradientOps(): Set<string> {
  const rules = kernelNames.flatMap((name) => kernels[name].gradients.map(({ op }) => op))
  return new Set([...rules, 'attention_backward'])
}

test('every op has a gradient, is one, or is exempt for a reason', () => {
  const gradients = gradientOps()
  for (const name of kernelNames) {
    const hasRule = kernels[name].gradients.length > 0
    // An op may be both: linear and linear_input_major are each other's gradient.
    expect(hasRule || gradients.has(name), name).toBe(!(name in exempt))
  }
})

test('every gradient rule binds parameters of its op, and to other names than their own', () => {
  for (const name of kernelNames)
    for (const rule of kernels[name].gradients)
      for (const [param, to] of Object.entries(rule.bind ?? {})) {
        const { params } = kernels[rule.op as (typeof kernelNames)[number]]
        expect(
          params.map((one) => one.name),
          `${name} -> ${rule.op}`,
        ).toContain(param)
        expect(to, `${name} -> ${rule.op}.${param}`).not.toBe(param)
      }
})

test('every gradient rule binds each parameter of its op to a name of the forward op, or to nothing', () => {
  for (const name of kernelNames) {
    const known = kernels[name].params.flatMap((param) => [param.name, `${param.name}_grad`])
    for (const rule of kernels[name].gradients)
      for (const param of kernels[rule.op as (typeof kernelNames)[number]].params)
        expect([...known, null], `${name} -> ${rule.op}.${param.name}`).toContain(boundBy(rule, param.name))
  }
})

test('the trainable inputs of an op are covered by its rules', () => {
  const frozen = ['target', 'mask', 'rotary.table']
  const learns = (op: string, input: string): boolean =>
    !frozen.includes(input) && !frozen.includes(`${op}.${input}`)
  for (const name of kernelNames) {
    const { gradients, params } = kernels[name]
    if (gradients.length === 0) continue
    // What is stored in another kind of numbers does not learn.
    const inputs = params
      .filter((param) => param.kind === 'array' && param.role === 'in' && param.dtype === 'f32')
      .map((param) => param.name)
    const covered = gradients.flatMap(({ of }) => of)
    expect([...covered].sort(), name).toEqual(inputs.filter((input) => learns(name, input)).sort())
  }
})

test.each([
  ['the derivative', [2, -1], null],
  ['a number that is off', [2, -1.1], 'x[1]: expected '],
  ['no number', [NaN, -1], 'x[0]: expected '],
  ['a number too many', [2, -1, 0], 'x: expected 2 numbers, got 3'],
  ['a number too few', [2], 'x: expected 2 numbers, got 1'],
])('a gradient that is %s is found by differences and by its length', (_, gradient, message) => {
  const loss = ({ x }: Readonly<Record<string, unknown>>): number => {
    const [first, second] = x as Float32Array
    return first ** 2 - second
  }
  const check = (): void =>
    checkDerivative('x', { x: Float32Array.of(1, 4) }, 'x', Float32Array.from(gradient), new Data(1), loss)
  if (message === null) expect(check).not.toThrow()
  else expect(check).toThrow(message)
})
