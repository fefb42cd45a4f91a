/**
 * Bugs planted in the kernels' sources, where only large sizes or last bits show them: each is compiled, and
 * found by a law of its backend.
 */
import { describe, expect, test } from 'vitest'
import { WasmBackend } from '../../../src/backends/wasm/wasm_backend.ts'
import { WideTrial } from '../../../src/backends/wasm/wide_trial.ts'
import { kernelNames } from '../../../src/ops/catalog.ts'
import { canJoinVectors } from '../../../src/platform/platform.ts'
import { inputMajorIsExact } from '../../../src/verify/ops/int4_product.ts'
import { narrowsToF16 } from '../../../src/verify/ops/stored_weights.ts'
import { zeroTerms, zeroTermsBf16, zeroTermsI8 } from '../../../src/verify/ops/zero_terms.ts'
import { runSeed } from '../../harness/seed.ts'
import {
  atAnEdge,
  largestInt4Sums,
  longHeads,
  longRows,
  manyInt4Tokens,
  pastEveryBlock,
  tilesInTurn,
  tinySumsAreZero,
} from './block_laws.ts'
import { compileKernels, readCommitted } from './compile.ts'
import { common, edgesOf, gradientsAtEdges, smallSizes, type Mutant, type Mutants } from './mutant_laws.ts'

const mutants: Mutants = {
  'the accumulators of a dot combined in another order': {
    file: 'float32.ts',
    from: 'f32x4.add(f32x4.add(acc0, acc1), f32x4.add(acc2, acc3))',
    to: 'f32x4.add(f32x4.add(acc0, acc2), f32x4.add(acc1, acc3))',
    law: smallSizes('linear'),
  },
  'one tie too many': {
    file: 'top_k.ts',
    from: 'equals-- <= 0',
    to: 'equals-- < 0',
    law: smallSizes('top_k'),
  },
  'a second block of tokens that packs the first again': {
    file: 'linear_tile.ts',
    from: 'packTokens(x, first, last, T, I)',
    to: 'packTokens(x, 0, last - first, T, I)',
    law: (backend) => pastEveryBlock(backend, 'linear', runSeed()),
  },
  'rows packed over the end of their scratch': {
    file: 'linear_tile.ts',
    from: 'const BLOCK_ROWS: i32 = 65536',
    to: 'const BLOCK_ROWS: i32 = 131072',
    law: (backend) => longRows(backend, runSeed()),
  },
  'the fifth token of a tall tile taken for the fourth': {
    file: 'tile.ts',
    from: 'v128.load(left, VECTOR * 4)',
    to: 'v128.load(left, VECTOR * 3)',
    law: smallSizes('linear'),
  },
  'the fifth row of a tall tile taken for the fourth': {
    file: 'tile.ts',
    from: 'v128.load32_splat(left, 16)',
    to: 'v128.load32_splat(left, 12)',
    law: (backend) => pastEveryBlock(backend, 'linear_backward_weight', runSeed()),
  },
  'a second block of terms that packs the first again': {
    file: 'outer_product.ts',
    from: 'packB<W>(b, bWidth, kList, n, k, nSize, kSize)',
    to: 'packB<W>(b, bWidth, kList, n, 0, nSize, kSize)',
    law: (backend) => pastEveryBlock(backend, 'linear_input_major', runSeed()),
  },
  'the columns past the first chunk of several rows left out': {
    file: 'weighted_rows.ts',
    from: 'column < width; column += chunk',
    to: 'column < 1; column += chunk',
    law: (backend) => {
      for (let seed = 0; seed < 200; seed++) atAnEdge(backend, 'linear_input_major', 'O', seed)
    },
  },
  'exponentials of a row that end where float32 has its last normal number': {
    file: 'softmax_row.ts',
    from: 'f32x4.splat(-104)',
    to: 'f32x4.splat(-87)',
    law: smallSizes('softmax'),
  },
  'the last block of queries, moved back, sees as if it had not been': {
    file: 'attention_tile.ts',
    from: 'const end = S - T + first + 1',
    to: 'const end = S - T + t + 1',
    law: edgesOf('attention'),
  },
  'positions that only the first queries of a block still see left out': {
    file: 'attention_tile.ts',
    from: 'if (own < all)',
    to: 'if (own > all)',
    law: edgesOf('attention'),
  },
  'a window that slides with the first token alone': {
    file: 'attention_stream.ts',
    from: 'const visible = min<i32>(end, W)',
    to: 'const visible = t == 0 ? min<i32>(end, W) : end',
    law: edgesOf('attention'),
  },
  'the gradient of a window counted from the first position': {
    file: 'attention_backward.ts',
    from: 'rowAt(0, first * G, K)',
    to: 'rowAt(0, 0, K)',
    law: smallSizes('attention_backward'),
  },
  'gradients of capped scores without their slopes': {
    file: 'attention_backward.ts',
    from: 'cap > 0 ? gradient',
    to: 'false ? gradient',
    law: smallSizes('attention_backward'),
  },
  'positions that only the first queries of a block still see without their gradients': {
    file: 'attention_backward.ts',
    from: 'row, early, all - own, G, K',
    to: 'row, early, 0, G, K',
    law: gradientsAtEdges,
  },
  'gradients of the positions that only later queries of a block see, without the last one': {
    file: 'attention_backward.ts',
    from: 'row, further, i, G, K',
    to: 'row, further, i - 1, G, K',
    law: gradientsAtEdges,
  },
  'blocks of queries of one size, which go on past the last token': {
    file: 'attention_backward.ts',
    from: 'count = (T - t + blocks - 1) / blocks',
    to: 'count = min<i32>(T, block)',
    law: gradientsAtEdges,
  },
  'a cap that takes the sign of large scores': {
    file: 'cap_scores.ts',
    from: 'v128.or(far, v128.and(x, i32x4.splat(i32.MIN_VALUE)))',
    to: 'far',
    law: smallSizes('attention'),
  },
  'blocks of bytes that begin where the window does': {
    file: 'attention_i8.ts',
    from: 'first & (VALUE_BLOCK - 1)',
    to: '0',
    law: edgesOf('attention_i8'),
  },
  'a third head that shares keys with the step of the second': {
    file: 'byte_rows.ts',
    from: 'v128.load32_splat(steps, 8), four)',
    to: 'v128.load32_splat(steps, 4), four)',
    law: edgesOf('attention_i8'),
  },
  'the second two of four shared keys that are the first two again': {
    file: 'byte_rows.ts',
    from: 'q2, rows + ((<usize>K) << 1), K)',
    to: 'q2, rows, K)',
    law: edgesOf('attention_i8'),
  },
  'a third head that shares values with the factors of the second': {
    file: 'byte_values.ts',
    from: 'v128.load32_splat(q + BLOCK_BYTES * 2)',
    to: 'v128.load32_splat(q + BLOCK_BYTES)',
    law: edgesOf('attention_i8'),
  },
  'heads that are taken to share keys though a list says otherwise': {
    file: 'attention_i8.ts',
    from: 'unitAt(heads, r + count), G, H) == g) count++',
    to: 'h + count, G, H) == g) count++',
    law: edgesOf('attention_i8'),
  },
  'factors before a window left among those of its block': {
    file: 'byte_values.ts',
    from: 'memory.fill(x, 0, bytes(skipped))',
    to: 'memory.fill(x, 0, 0)',
    law: edgesOf('attention_i8'),
  },
  'four keys in a row of which the last stream has none': {
    file: 'attention_stream.ts',
    from: 'store_lane<f32>(to + apart * 3, four, 3)',
    to: 'store_lane<f32>(to + apart * 3, four, 2)',
    law: edgesOf('attention'),
  },
  'the values after an even number of positions left out': {
    file: 'attention_stream.ts',
    from: 'if (pairs == visible) return',
    to: 'if (pairs <= visible) return',
    law: edgesOf('attention'),
  },
  'every head without a list with the key head of its own number': {
    file: 'units.ts',
    from: '<i32>((<i64>h * <i64>G) / <i64>H)',
    to: 'min<i32>(h, G - 1)',
    law: edgesOf('attention'),
  },
  'gradients of keys with the rows of one key head more': {
    file: 'attention_backward.ts',
    from: 'addScaled<f32>(rowAt(to, s * G, K)',
    to: 'addScaled<f32>(rowAt(to, s * (G + 1), K)',
    law: smallSizes('attention_backward'),
  },
  'the tail of a pair of halves turned the other way': {
    file: 'rotary.ts',
    from: 'second * cos + first * sin',
    to: 'second * cos - first * sin',
    law: smallSizes('rotary'),
  },
  'bytes after the last stream of four scaled like those of the third': {
    file: 'byte_rows.ts',
    from: 'scales += apart * 3',
    to: 'scales += apart * 2',
    law: smallSizes('attention_i8'),
  },
  'a second block of values that is the first again': {
    file: 'attention_i8_tile.ts',
    from: 'value += <usize>first * <usize>K',
    to: 'value += 0',
    law: edgesOf('attention_i8'),
  },
  'a later query of a tile that sees no more than the first': {
    file: 'attention_i8_tile.ts',
    from: 'max<i32>(0, shared + i - first)',
    to: 'max<i32>(0, shared - first)',
    law: edgesOf('attention_i8'),
  },
  'factors of positions past a block left among its own': {
    file: 'byte_values.ts',
    from: 'memory.fill(x, 0, padded - x)',
    to: 'memory.fill(x, 0, 0)',
    law: edgesOf('attention_i8'),
  },
  'int16 queries of as many levels as there are, whatever they add up to': {
    file: 'quantized_steps.ts',
    from: 'MOST_LEVELS, i32.MAX_VALUE / (127',
    to: 'MOST_LEVELS, i32.MAX_VALUE / (100',
    law: (backend) => longHeads(backend, 'attention_i8', runSeed()),
  },
  'the last of an odd number of rows side by side left out': {
    file: 'weighted_rows.ts',
    from: 'if (r < rows) {',
    to: 'if (r > rows) {',
    law: smallSizes('linear_input_major_bf16'),
  },
  'f16 without the lower half of its fraction': {
    file: 'storage.ts',
    from: '<i32>0x8fffe000',
    to: '<i32>0x8ffc0000',
    law: smallSizes('linear_f16'),
  },
  'the halves of eight bf16 exchanged': {
    file: 'storage.ts',
    from: '0, 8, 1, 9, 2, 10, 3, 11',
    to: '4, 12, 5, 13, 6, 14, 7, 15',
    law: smallSizes('embedding_bf16'),
  },
  'tokens with numbers too large for units of f16 taken in units': {
    file: 'elementwise.ts',
    from: 'unit<W>() < Infinity',
    to: 'unit<W>() <= Infinity',
    law: smallSizes('linear_f16'),
  },
  'factors too large for units of f16 taken in units': {
    file: 'storage.ts',
    from: '< Infinity || !(abs',
    to: '<= Infinity || !(abs',
    law: smallSizes('linear_input_major_f16'),
  },
  'subnormal f16 rounded from the wrong place': {
    file: 'narrow.ts',
    from: 'f32x4.splat(0.5)',
    to: 'f32x4.splat(0.25)',
    law: common(narrowsToF16),
  },
  'one level too many for sums in 32 bits': {
    file: 'quantized_steps.ts',
    from: 'MOST_LEVELS, i32.MAX_VALUE / (127 *',
    to: 'MOST_LEVELS, 1 + i32.MAX_VALUE / (127 *',
    law: (backend) => longRows(backend, runSeed()),
  },
  'a second block of tokens that rounds the first again': {
    file: 'linear_i8.ts',
    from: 'quantizeSteps(stepsAt(t, I), rowAt(x, first + t, I), I)',
    to: 'quantizeSteps(stepsAt(t, I), rowAt(x, t, I), I)',
    law: (backend) => pastEveryBlock(backend, 'linear_i8', runSeed()),
  },
  'a last odd term in a pair with what stood there before': {
    file: 'linear_input_major_i8.ts',
    from: 'if (paired > count)',
    to: 'if (paired < count)',
    law: (backend) => pastEveryBlock(backend, 'linear_input_major_i8', runSeed()),
  },
  'tiny inputs taken for zeros': {
    file: 'nonzero.ts',
    from: 'f32x4.ne(v128.load(x + bytes(t * I + r)), f32x4.splat(0))',
    to: 'f32x4.gt(f32x4.abs(v128.load(x + bytes(t * I + r))), f32x4.splat(1e-37))',
    law: common(zeroTerms),
  },
  'the last listed row dropped': {
    file: 'linear_input_major.ts',
    from: 'packedLeft(), T, width, O, I, kept)',
    to: 'packedLeft(), T, width, O, I, kept & ~1)',
    law: common(zeroTermsBf16),
  },
  'inputs that are zero for the first token alone left out': {
    file: 'nonzero.ts',
    from: 'any = v128.or(any, f32x4.ne(v128.load(x + bytes(t * I + r)), f32x4.splat(0)))',
    to: 'any = f32x4.ne(v128.load(x + bytes(r)), f32x4.splat(0))',
    law: common(zeroTerms),
  },
  'places of a list taken for the inputs that stand there': {
    file: 'nonzero.ts',
    from: 'store<i32>(list + bytes(kept), i)',
    to: 'store<i32>(list + bytes(kept), r)',
    law: common(zeroTermsI8),
  },
  'a second block of pairs that packs the first again': {
    file: 'outer_product.ts',
    from: 'const first = (k + j) << 1',
    to: 'const first = j << 1',
    law: (backend) => {
      for (let seed = 0; seed < 200; seed++) atAnEdge(backend, 'linear_input_major_i8', 'I', seed)
    },
  },
  'numbers of four bits of which the upper ones are not shifted': {
    file: 'int4.ts',
    from: 'v128.and(i16x8.shr_u(x, 4), mask)',
    to: 'v128.and(i16x8.shr_u(x, 0), mask)',
    law: smallSizes('linear_i4'),
  },
  'the minimum of a block forgotten': {
    file: 'int4.ts',
    from: 'f32x4.mul(minima, sum)',
    to: 'f32x4.splat(0)',
    law: smallSizes('linear_input_major_i4'),
  },
  'a short last block read past its end': {
    file: 'int4.ts',
    from: 'min<i32>(BLOCK, I - i)',
    to: 'BLOCK',
    law: smallSizes('linear_i4'),
  },
  'a short last block with what the one before left behind it': {
    file: 'int4.ts',
    from: 'memory.fill(shortBlock(), 0, bytes(BLOCK))',
    to: 'memory.fill(shortBlock(), 0, 0)',
    law: smallSizes('linear_i4'),
  },
  'an interleaved row that keeps its old minima': {
    file: 'int4.ts',
    from: 'store<u16>(toHalf + at, load<u16>(fromHalf + at, 8), 8)',
    to: '',
    law: smallSizes('copy_interleaved_rows'),
  },
  'the second of two fours a four too far': {
    file: 'linear_i4.ts',
    from: 'min<i32>(quad + half, quads - 1)',
    to: 'min<i32>(quad + half + 1, quads - 1)',
    law: smallSizes('linear_i4'),
  },
  'chosen rows that begin a four taken for a four': {
    file: 'int4_rows.ts',
    from: 'unitAt(rows, r + 3) == first + 3',
    to: 'unitAt(rows, r + 3) >= first + 3',
    law: smallSizes('linear_i4'),
  },
  'steps too large for units of f16 taken in units': {
    file: 'linear_i4.ts',
    from: 'unit<f16>() < Infinity',
    to: 'unit<f16>() <= Infinity',
    law: smallSizes('linear_i4'),
  },
  'the partner of an only input that is multiplied': {
    file: 'int4_runs.ts',
    from: 'store<i8>(q + <usize>members, 0)',
    to: 'store<i8>(q + <usize>members, 1)',
    law: smallSizes('linear_input_major_i4'),
  },
  'sixteen rows more that replace the sums of sixteen': {
    file: 'linear_input_major_i4.ts',
    from: 'addOpened(to, openedRows(), q, pairs, k == slot)',
    to: 'addOpened(to, openedRows(), q, pairs, true)',
    law: smallSizes('linear_input_major_i4'),
  },
  'sizes of activations of which one sum does not fit 16 bits': {
    file: 'linear_input_major_i4.ts',
    from: 'const MOST_SIZE: i32 = 2184',
    to: 'const MOST_SIZE: i32 = 2185',
    law: largestInt4Sums,
  },
  'the other one of two tiles that are read in turn left out': {
    file: 'linear_input_major_i4.ts',
    from: 'o < to; o += apart',
    to: 'o < min<i32>(to, from + apart); o += apart',
    law: (backend) => tilesInTurn(backend, runSeed()),
  },
  'a tile at the edge written as a whole one': {
    file: 'linear_input_major_i4.ts',
    from: 'memory.copy(row, edgeColumns(), bytes(width))',
    to: 'memory.copy(row, edgeColumns(), bytes(TILE))',
    law: smallSizes('linear_input_major_i4'),
  },
  'steps of tokens written over the end of their scratch': {
    file: 'linear_input_major_i4.ts',
    from: 'const MOST_STEPS: i32 = 49152',
    to: 'const MOST_STEPS: i32 = 4915200',
    law: (backend) => manyInt4Tokens(backend, runSeed()),
  },
  'rounded numbers of tokens written over the end of their scratch': {
    file: 'linear_input_major_i4.ts',
    from: 'const MOST_NUMBERS: i32 = 524288',
    to: 'const MOST_NUMBERS: i32 = 5242880',
    law: (backend) => manyInt4Tokens(backend, runSeed()),
  },
  'products of more int4 rows than fit 16 bits added there': {
    file: 'linear_input_major_i4.ts',
    from: 'const MOST_ROWS: i32 = 16',
    to: 'const MOST_ROWS: i32 = 32',
    law: common(inputMajorIsExact),
  },
  'blocks of int4 rows in the order of the list': {
    file: 'int4_runs.ts',
    from: 'if (b < last) return -1',
    to: 'if (b < -1) return -1',
    law: smallSizes('linear_input_major_i4'),
  },
  'a second block of tokens that rounds the first again, in blocks of 32': {
    file: 'linear_i4.ts',
    from: 'rowAt(x, first + t, I)',
    to: 'rowAt(x, t, I)',
    law: (backend) => pastEveryBlock(backend, 'linear_i4', runSeed()),
  },
  'the last of an odd number of fours of int4 rows left out': {
    file: 'linear_i4.ts',
    from: 'const half = (quads + 1) >> 1',
    to: 'const half = quads >> 1',
    law: smallSizes('linear_i4'),
  },
  'int4 rows copied without their last four bytes': {
    file: 'int4.ts',
    from: 'load<u32>(from + at, 48), 48)',
    to: 'load<u32>(to + at, 48), 48)',
    law: smallSizes('copy_interleaved_rows'),
  },
}

/** Planted in the relaxed build, which owes bounds where it multiplies and adds, and bits elsewhere. */
const relaxedMutants: Mutants = {
  'the last term of a dot left out': {
    file: 'float32.ts',
    from: 'total = madd1(total, load<f32>(x), one<W>(w))',
    to: 'if (x + 4 < end) total = madd1(total, load<f32>(x), one<W>(w))',
    law: smallSizes('linear'),
  },
  'factors without their last three bits': {
    file: 'float32.ts',
    from: 'return f32x4.relaxed_madd(a, b, sum)',
    to: 'return f32x4.relaxed_madd(v128.and(a, i32x4.splat(-8)), b, sum)',
    law: smallSizes('linear_input_major'),
  },
  'sums of fused products that stay -0 where zeros are left out': {
    file: 'linear_input_major.ts',
    from: 'clearSigns(rowAt(y, t, O), width)',
    to: 'clearSigns(rowAt(y, t, O), 0)',
    law: tinySumsAreZero,
  },
  'a mean gradient that is off by a share of 2^-12': {
    file: 'softmax.ts',
    from: 'const mean = dot<f32>(grad, output, V)',
    to: 'const mean = dot<f32>(grad, output, V) * 1.000244140625',
    law: smallSizes('softmax_backward'),
  },
  'squares of rms_norm, of which bits are owed, added unrounded': {
    file: 'float32.ts',
    from: 'total += deviation * deviation',
    to: 'total = madd1(total, deviation, deviation)',
    law: smallSizes('rms_norm'),
  },
  'exponentials, of which bits are owed, with a coefficient that is off by one unit': {
    file: 'float32.ts',
    from: '5.0000001201e-1',
    to: '5.0000007201e-1',
    law: smallSizes('exp'),
  },
}

/** Sources of which the wide build has tiles of its own, or loops whose vectors are joined. */
const wideSources = /^(tile|linear|outer_product|weighted_rows|float32|int4|storage|attention|byte_)/

/** Joining the vectors of this one, unoptimised, ends a process of V8 13.6. No committed build does: `build.spec.ts`. */
const endsV8 = 'blocks of bytes that begin where the window does'

/** Planted in the wide build too, whose laws are those of `wasm`. */
const wideMutants: Mutants = {
  ...Object.fromEntries(
    Object.entries(mutants).filter(([name, { file }]) => wideSources.test(file) && name !== endsV8),
  ),
  // It widens bf16 by loads, not by a shuffle.
  'the halves of eight bf16 exchanged': {
    file: 'storage.ts',
    from: 'v128.load16x4_u(at, 8)',
    to: 'v128.load16x4_u(at)',
    law: smallSizes('linear_bf16'),
  },
}

/**
 * Compiles every kernel of a wide build as it is used, with vectors joined where an engine does that. Whether the trial finds
 * the bug is not judged: some only show at large sizes.
 */
async function join(wide: WebAssembly.Module): Promise<void> {
  const plain = new WebAssembly.Module(await readCommitted('bytes'))
  if (canJoinVectors()) for (const name of kernelNames) new WideTrial(plain, wide, false).isUsed(name)
}

const builds = [
  ['release', 'wasm', mutants],
  ['wide', 'wasm', wideMutants],
  ['relaxed', 'wasm-relaxed', relaxedMutants],
] as const

type Build = (typeof builds)[number]

/** A backend of a build, from its binary. */
async function start(
  build: Build[0],
  name: Build[1],
  binary: Promise<Uint8Array<ArrayBuffer>>,
): Promise<WasmBackend> {
  const module = new WebAssembly.Module(await binary)
  if (build === 'wide') await join(module)
  return new WasmBackend(module, undefined, name)
}

/** The laws that find mutants. */
const lawsOf = (mutants: Mutants): readonly Mutant['law'][] => Object.values(mutants).map(({ law }) => law)

describe.each(builds)('in the %s build', (build, name, mutants) => {
  test.each(Object.entries(mutants))('%s: found', async (_, mutant) => {
    // Unoptimised: the same arithmetic, compiled sooner.
    const backend = await start(build, name, compileKernels(mutant, ['--optimizeLevel', '0'], build))
    await expect((async () => mutant.law(backend))()).rejects.toThrow(/expected/)
    backend.dispose()
  })
})

test('without a bug the same laws pass in each build', { timeout: 900_000 }, async () => {
  const backends = await Promise.all(builds.map(([build, name]) => start(build, name, readCommitted(build))))
  // A law over every build before the next: the builds are tried on the same calls.
  for (const law of new Set(builds.flatMap(([, , mutants]) => lawsOf(mutants))))
    for (const [i, [, , mutants]] of builds.entries())
      if (lawsOf(mutants).includes(law)) await law(backends[i])
  for (const backend of backends) backend.dispose()
})
