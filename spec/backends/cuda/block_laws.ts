/**
 * Sizes past what a block of a CUDA kernel takes at once: its threads, its groups of sixteen, its tiles, the values that
 * attention adds as whole numbers. A result must not show where one ends and the next begins. And addresses at which a
 * kernel may read several numbers at once: a result must not show that it did.
 */
import type { Backend } from '../../../src/backends/backend.ts'
import { kernels, type KernelName } from '../../../src/ops/catalog.ts'
import { checkAgreement } from '../../../src/verify/ops/agreement.ts'
import { sameBits } from '../../../src/verify/compare.ts'
import { aligned, callRaw } from '../../../src/testing/op_call.ts'
import { Data } from '../../../src/testing/seeded_data.ts'
import { fitSizes, lettersOf, makeValues, variantsOf } from '../../../src/testing/op_case.ts'

/** Around the most threads of a block, twice that, and outputs of an int8 block of 256 threads. */
const edges = [63, 65, 255, 256, 257, 513, 530]

/** Tokens are whole blocks or loops of one: past the groups of a block is far enough. */
const edgesOfTokens = [15, 16, 17, 35]

/**
 * Each letter of an op at each edge, the others small, with everything optional and with nothing.
 * @throws Error naming the first number that is not the reference's
 */
export function pastABlock(backend: Backend, name: KernelName, seed: number): void {
  const row = kernels[name]
  const data = new Data(seed)
  const variants = variantsOf(row)
  for (const letter of lettersOf(row))
    for (const edge of letter === 'T' ? edgesOfTokens : edges)
      for (const { absent, aliased } of [variants[0], variants[variants.length - 1]]) {
        const wanted: Record<string, number> = {}
        for (const other of lettersOf(row)) wanted[other] = data.pick([1, 2, 3, 5])
        const sizes = fitSizes(row, { ...wanted, [letter]: edge }, letter)
        const values = makeValues(name, sizes, data, data.pick(['plain', 'ties', 'wild']), absent)
        checkAgreement(backend, name, values, { offset: 1, aliased })
      }
}

/** Rows of whole wide loads of 4, most of them of 16 too, some less than a tile and some more. */
const wholeRows = [4, 16, 20, 64, 144, 272, 528]
/** A row that is no whole load, and all else is one: so that whatever starts, starts where a load may. */
const alone = 3
/** Inputs are rounded in larger tiles: cuda/fast/linear_i8.cu. */
const wholeInputs = [...wholeRows, 2064]

/**
 * Each letter of an op at sizes of whole wide loads, the others whole too or small: arrays at multiples of 16 bytes give
 * what the row says, and the bits that they give elsewhere.
 * @throws Error naming the first number that is not so
 */
export function whereverItStands(backend: Backend, name: KernelName, seed: number): void {
  const row = kernels[name]
  const data = new Data(seed)
  const variants = variantsOf(row)
  for (const letter of lettersOf(row))
    for (const size of [
      alone,
      ...(letter === 'T' ? edgesOfTokens : letter === 'I' ? wholeInputs : wholeRows),
    ])
      for (const { absent } of [variants[0], variants[variants.length - 1]]) {
        const others = size === alone ? [1] : [1, 3, 4]
        const wanted = Object.fromEntries(lettersOf(row).map((other) => [other, data.pick(others)]))
        const sizes = fitSizes(row, { ...wanted, [letter]: size }, letter)
        const values = makeValues(name, sizes, data, data.pick(['plain', 'ties', 'wild']), absent)
        checkAgreement(backend, name, values, aligned)
        const elsewhere = callRaw(backend, name, values, { offset: data.below(4) })
        for (const [output, numbers] of Object.entries(callRaw(backend, name, values, aligned)))
          sameBits(`${name}.${output}`, numbers, elsewhere[output])
      }
}

/** Inputs that a block has: none, few, all 32, and more than a warp or a block of threads takes at once. */
const runs = [0, 0, 1, 2, 31, 32, 33, 70, 300]

/**
 * int4 inputs in the order of their blocks, which kernels search for the inputs of a block: rows in that order, some of
 * them, and rows in another order with a list that puts them in this one. Then as many inputs as there may be, whose sum is
 * the largest there is.
 * @throws Error naming the first number that is not the reference's
 */
export function inOrderOfBlocks(backend: Backend, seed: number): void {
  const name = 'linear_input_major_i4'
  const data = new Data(seed)
  for (const B of [1, 2, 7, 8, 9, 25]) {
    const numbers = Array.from({ length: B }, (_, b) => new Array<number>(data.pick(runs)).fill(b)).flat()
    const I = numbers.length
    const blocks = Int32Array.from(numbers)
    const order = data.permutation(I)
    const scattered = new Int32Array(I)
    for (const [r, row] of order.entries()) scattered[row] = blocks[r]
    const O = data.pick([1, 16, 31, 33, 65, 260])
    for (const [given, inputs] of [
      [blocks, null],
      [blocks, data.someOf('inputs', I)],
      [scattered, order],
    ] as const) {
      const R = inputs?.length ?? 0
      const sizes = fitSizes(kernels[name], { T: data.pick([1, 2, 3]), O, I, S: I + data.below(3), R, B })
      const values = makeValues(name, sizes, data, data.pick(['plain', 'ties', 'wild']))
      checkAgreement(backend, name, { ...values, blocks: given, inputs }, { offset: data.below(4) })
    }
  }
  const sizes = fitSizes(kernels[name], { T: 1, O: 5, I: 49_152, S: 0, R: 0, B: 1 })
  const values = makeValues(name, sizes, data, 'plain', new Set(['inputs']))
  const x = new Float32Array(sizes.I).fill(1)
  checkAgreement(backend, name, { ...values, x }, aligned)
}
