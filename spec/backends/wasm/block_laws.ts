/**
 * Large shapes of the wasm kernels: the products of many tokens are cut into blocks and tiles, and a result must not
 * show where. The sizes stand around every edge of assembly/linear_tile.ts, assembly/outer_product.ts,
 * assembly/weighted_rows.ts, the int8 and int4 kernels, the tiles and streams of attention, and at the longest rows and the
 * longest context they take.
 */
import type { Backend } from '../../../src/backends/backend.ts'
import { MAX_CONTEXT } from '../../../src/ops/attention.ts'
import { kernels, type KernelName } from '../../../src/ops/catalog.ts'
import type { Sizes } from '../../../src/ops/op.ts'
import { Data } from '../../../src/testing/seeded_data.ts'
import { sameBits } from '../../../src/verify/compare.ts'
import { checkAgreement, type KnownCall } from '../../../src/verify/ops/agreement.ts'
import { KnownCalls } from '../../harness/known_calls.ts'
import { blocksOf, QUAD_BYTES } from '../../../src/tensor/int4.ts'
import type { RandomState } from '../../../src/tensor/random.ts'
import { evaluate } from '../../../src/testing/op_agreement.ts'
import { call } from '../../../src/testing/op_call.ts'
import { fitSizes, makeValues } from '../../../src/testing/op_case.ts'

/** A product of many tokens, and its list of chosen units. */
export const products = {
  linear: 'rows',
  linear_bf16: 'rows',
  linear_f16: 'rows',
  linear_i8: 'rows',
  linear_i4: 'rows',
  linear_input_major: 'inputs',
  linear_input_major_bf16: 'inputs',
  linear_input_major_f16: 'inputs',
  linear_input_major_i8: 'inputs',
  linear_input_major_i4: 'inputs',
  linear_backward_weight: 'rows',
} as const

export type Product = keyof typeof products

/**
 * Rows per block of linear, and tokens per block of the int8 ops; columns and terms per block of the outer products;
 * columns of rows read side by side; terms from which int8 sums take fewer levels (516).
 */
const edges = [48, 64, 96, 128, 256, 512, 1024].flatMap((edge) => [edge - 1, edge, edge + 1, edge + 3])
const small = [1, 3, 4, 5, 8, 9, 17, 33]

/** A call and the state of its data after it was made. */
interface DealtCall extends KnownCall {
  readonly after: RandomState
}

/** What the laws were tried on: equal seeds give each build, and each mutant of a kernel, the same calls. */
const knownCalls = new KnownCalls<DealtCall>()

/** @param given sizes; rows of int4 inputs have as much room as they need, and as many blocks, unless they say otherwise */
function check(
  backend: Backend,
  name: KernelName,
  given: Sizes,
  data: Data,
  absent: readonly string[] = [],
): void {
  const sizes = fitSizes(kernels[name], { S: given.I, B: blocksOf(given.I), ...given })
  const key = JSON.stringify([name, sizes, absent, data.state])
  let known = knownCalls.get(key)
  if (known === undefined) knownCalls.set(key, (known = dealt(name, sizes, data, absent)))
  data.state = known.after
  checkAgreement(backend, name, known.values, known.placing, known.expected)
}

function dealt(name: KernelName, sizes: Sizes, data: Data, absent: readonly string[]): DealtCall {
  const values = makeValues(name, sizes, data, 'plain', new Set(absent))
  // Blocks come in any order, or in their own.
  if (values.blocks instanceof Int32Array && data.chance(0.5)) values.blocks.sort()
  const placing = { offset: data.pick([0, 1, 3]), aliased: false }
  return { values, placing, expected: evaluate(name, values), after: data.state }
}

/** One letter at the edge of a block, the others small; with a list of chosen units and without. */
export function atAnEdge(backend: Backend, name: Product, large: 'T' | 'O' | 'I', seed: number): void {
  const data = new Data(seed)
  const sizes = { T: data.pick(small), O: data.pick(small), I: data.pick(small), [large]: data.pick(edges) }
  const R = Math.ceil((products[name] === 'inputs' ? sizes.I : sizes.O) * data.uniform())
  check(backend, name, { ...sizes, R }, data)
  check(backend, name, { ...sizes, R }, data, [products[name]])
}

/** Sizes at which a product has M rows and N columns of K terms each. */
function sizesOf(name: Product, M: number, N: number, K: number): Sizes {
  return name === 'linear_backward_weight' ? { O: M, I: N, T: K } : { T: M, O: N, I: K }
}

/** Every size past the end of a block: rows and columns where terms fill a block, then columns and chosen terms. */
export function pastEveryBlock(backend: Backend, name: Product, seed: number): void {
  const data = new Data(seed)
  check(backend, name, { ...sizesOf(name, 1027, 131, 512), R: 0 }, data, [products[name]])
  const sizes = sizesOf(name, 29, 261, 530)
  const R = products[name] === 'inputs' ? 515 : Math.ceil(0.8 * sizes.O)
  check(backend, name, { ...sizes, R }, data)
}

/**
 * Rows as long as `linear` packs, for more tokens than a block has then, and longer; as long as int8 sums may be.
 * @param isEmulated leaves out many blocks in disorder, each of which CUDA kernels look for among all inputs
 */
export function longRows(backend: Backend, seed: number, isEmulated = false): void {
  const data = new Data(seed)
  for (const I of [16_383, 16_384, 16_385, 20_007])
    for (const absent of [[], ['rows']]) check(backend, 'linear', { T: 37, O: 5, I, R: 4 }, data, absent)
  for (const I of [32_767, 32_768]) check(backend, 'linear_i8', { T: 7, O: 5, I, R: 4 }, data)
  for (const I of [65_535, 65_536])
    check(backend, 'linear_input_major_i8', { T: 9, O: 5, I, R: 3 }, data, ['inputs'])
  for (const I of [65_535, 65_536]) check(backend, 'linear_i4', { T: 3, O: 5, I, R: 4 }, data)
  const I = 49_152
  for (const B of isEmulated ? [1] : [1, blocksOf(I), I])
    check(backend, 'linear_input_major_i4', { T: 2, O: 5, I, R: 3, B }, data, ['inputs'])
}

/** As many tokens of int4 as are taken together, with the most inputs and with many blocks. */
export function manyInt4Tokens(backend: Backend, seed: number): void {
  const data = new Data(seed)
  for (const [I, B] of [
    [49_152, 1],
    [8000, 8000],
  ])
    check(backend, 'linear_input_major_i4', { T: 64, O: 3, I, R: 0, B }, data, ['inputs'])
}

/** Few tokens of int4, of which tiles of outputs are read in turn: two and two of them, and two and one. */
export function tilesInTurn(backend: Backend, seed: number): void {
  const data = new Data(seed)
  for (const O of [197, 130])
    for (const T of [1, 2])
      check(backend, 'linear_input_major_i4', { T, O, I: 512, R: 0, B: 16 }, data, ['inputs'])
}

/** Products of the largest numbers of int4 with activations whose sizes add up to just what fits 16 bits, and to more. */
export function largestInt4Sums(backend: Backend): void {
  for (const name of ['linear_i4', 'linear_input_major_i4'] as const)
    for (const T of [1, 3])
      for (const last of [1, -1, 25 / 127, 26 / 127])
        for (const I of [15, 16, 17, 18, 31, 32, 33, 34]) {
          const sizes = fitSizes(kernels[name], { T, O: 64, I, R: 0, S: I, B: blocksOf(I) })
          const values = makeValues(name, sizes, new Data(I), 'plain', new Set(['rows', 'inputs']))
          const given = values.weight as Uint8Array
          // Of four rows side by side, scales and minima come before the numbers of a block.
          const weight = given.map((byte, at) => (name === 'linear_i4' && at % QUAD_BYTES < 16 ? byte : 255))
          const x = new Float32Array(T * I).map((_, i) => ((i + 1) % I === 0 ? last : Math.sign(last)))
          checkAgreement(backend, name, { ...values, x, weight }, { offset: 0, aliased: false })
        }
}

/** As many inputs as a list of those that are not zero has room for, and more. */
export function longLists(backend: Backend, seed: number): void {
  const data = new Data(seed)
  for (const I of [524_287, 524_288, 524_289]) {
    const sizes = { T: 1, O: 3, I, R: I }
    for (const absent of [[], ['inputs']]) {
      const values = makeValues('linear_input_major', sizes, data, 'plain', new Set(absent))
      const x = (values.x as Float32Array).map((value) => (data.chance(0.0005) ? value : 0))
      checkAgreement(backend, 'linear_input_major', { ...values, x }, { offset: 0, aliased: false })
    }
  }
}

/** A sum of products that are too small to be told from 0 is +0, for any number of tokens, fused or not. */
export function tinySumsAreZero(backend: Backend): void {
  const O = 21
  for (const T of [1, 2, 7, 8, 9]) {
    const x = Float32Array.from({ length: 3 * T }, (_, n) => [1e-30, 0, -0][n % 3])
    const weight = Float32Array.from({ length: 3 * O }, (_, n) => (n < O ? -1e-30 : 1))
    const { y } = call(backend, 'linear_input_major', { x, weight, bias: null, T, O, I: 3 })
    sameBits('y', y, new Float32Array(T * O))
    const inputs = Int32Array.of(0)
    const listed = call(backend, 'linear_input_major', { x, weight, bias: null, inputs, T, O, I: 3, R: 1 })
    sameBits('y', listed.y, new Float32Array(T * O))
  }
}

/** The kernels of attention. */
export const attentions = ['attention', 'attention_i8'] as const

export type Attention = (typeof attentions)[number]

/** Queries around the edges of a block and of a tile, over keys around those of a panel and of four streams. */
export function manyQueries(backend: Backend, name: Attention, seed: number): void {
  const data = new Data(seed)
  const T = data.pick([1, 2, 3, 4, 5, 7, 31, 32, 33, 34, 35, 67])
  const S = T + data.pick([0, 1, 2, 3, 13, 29, 61, 64, 221, 256])
  const K = data.pick([15, 16, 17, 32, 64, 80])
  const G = data.pick([1, 2, 5])
  for (const W of [S, data.pick([1, 3, 5, 31, 33, 40, 64, 65, 100, 200])]) {
    const sizes = { T, S, W, C: S + data.below(3), H: 5, G, K, R: data.integer(1, 5) }
    check(backend, name, sizes, data)
    check(backend, name, sizes, data, ['key_heads'])
    check(backend, name, sizes, data, ['heads', 'key_heads'])
  }
}

/** Gradients around the edges of a block of queries, of a window, and of heads so long that a block holds seven queries. */
export function manyGradients(backend: Backend, seed: number): void {
  const data = new Data(seed)
  const T = data.pick([1, 3, 4, 5, 7, 8, 9, 31, 32, 33, 35, 63, 65, 67])
  const K = data.pick([15, 16, 17, 64, 80, 1040])
  const G = data.pick([1, 2, 3])
  for (const W of [T, Math.min(T, data.pick([1, 3, 4, 5, 8, 31, 33, 40, 64]))])
    check(backend, 'attention_backward', { T, W, C: T + data.below(3), H: 3, G, K }, data)
}

/** Heads so long that few queries fit the scratch, or none, and that int16 queries need fewer levels to add up. */
export function longHeads(backend: Backend, name: Attention, seed: number): void {
  const data = new Data(seed)
  for (const K of [1040, 4096, 5008]) {
    const sizes = { T: 5, S: 9, W: 9, C: 9, H: 1, G: 1, K, R: 0 }
    const values = makeValues(name, sizes, data, 'plain', new Set(['heads']))
    const ones = new Float32Array(5 * K).fill(1)
    const key = name === 'attention_i8' ? new Int8Array(9 * K).fill(127) : values.key
    checkAgreement(backend, name, values, { offset: 0, aliased: false })
    checkAgreement(backend, name, { ...values, query: ones, key }, { offset: 0, aliased: false })
  }
}

/** As many positions as an attention kernel has room for. */
export function longestContext(backend: Backend, name: Attention, seed: number): void {
  for (const [T, K, W] of [
    [2, 5, MAX_CONTEXT],
    [9, 16, MAX_CONTEXT],
    [9, 16, 100],
  ]) {
    const sizes = { T, S: MAX_CONTEXT, W, C: MAX_CONTEXT, H: 2, G: 2, K, R: 1 }
    check(backend, name, sizes, new Data(seed))
  }
}
