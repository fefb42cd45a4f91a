/**
 * Bugs planted in the sources of the Rust kernels are found by laws of their backend. Those of a build are compiled
 * together, and each is found by a law of an op that the others do not touch.
 */
import { beforeAll, describe, expect, test } from 'vitest'
import { compileModule } from '../../../scripts/rust/module.ts'
import { findToolchain } from '../../../scripts/rust/toolchain.ts'
import { WasmBackend } from '../../../src/backends/wasm/wasm_backend.ts'
import { narrowsToF16 } from '../../../src/verify/ops/stored_weights.ts'
import { runSeed } from '../../harness/seed.ts'
import { atAnEdge, largestInt4Sums, pastEveryBlock } from './block_laws.ts'
import { common, edgesOf, randomSizes, smallSizes, type Mutant, type Mutants } from './mutant_laws.ts'

const first: Mutants = {
  'one tie too many': {
    file: 'src/top_k.rs',
    from: 'if equals == 0 {',
    to: 'if equals == usize::MAX {',
    law: smallSizes('top_k'),
  },
  'subnormal f16 rounded from the wrong place': {
    file: 'src/narrow.rs',
    from: 'f32x4_splat(0.5)',
    to: 'f32x4_splat(0.25)',
    law: common(narrowsToF16),
  },
  'a greatest number that is one of the first only': {
    file: 'src/min_max.rs',
    from: 'if value > most {',
    to: 'if value > most && d < 3 {',
    law: smallSizes('min_max'),
  },
  'a row of eight numbers of two bytes taken for the next': {
    file: 'src/transpose_16.rs',
    from: 'upper_pairs(row[first], row[first + 1])',
    to: 'upper_pairs(row[first], row[first])',
    law: randomSizes('transpose_bf16'),
  },
  'factors of positions past a block left among its own': {
    file: 'src/byte_values.rs',
    from: 'clear(x, padding);',
    to: 'clear(x, 0);',
    law: edgesOf('attention_i8'),
  },
  'positions that only the first queries of a block still see left out': {
    file: 'src/attention_tile.rs',
    from: 'if own < all {',
    to: 'if own > all {',
    law: edgesOf('attention'),
  },
  'factors before a window left among those of its block': {
    file: 'src/byte_values.rs',
    from: 'clear(x, skipped);',
    to: 'clear(x, 0);',
    law: edgesOf('attention_i8'),
  },
  'scores that are never capped': {
    file: 'src/cap_scores.rs',
    from: 'if cap > 0.0 {',
    to: 'if cap < -100.0 {',
    law: smallSizes('attention'),
  },
  'a second block of tokens that packs the first again': {
    file: 'src/linear_tile.rs',
    from: 'pack_tokens(x, first, last, T, I);',
    to: 'pack_tokens(x, 0, last - first, T, I);',
    law: (backend) => pastEveryBlock(backend, 'linear', runSeed()),
  },
  'a second block of pairs that packs the first again': {
    file: 'src/outer_product.rs',
    from: 'let first = 2 * (k + j);',
    to: 'let first = 2 * j;',
    law: (backend) => {
      for (let seed = 0; seed < 200; seed++) atAnEdge(backend, 'linear_input_major_i8', 'I', seed)
    },
  },
  'the columns past the first chunk of several rows left out': {
    file: 'src/weighted_rows.rs',
    from: 'while column < width {',
    to: 'while column < 1 {',
    law: (backend) => {
      for (let seed = 0; seed < 200; seed++) atAnEdge(backend, 'linear_input_major_bf16', 'O', seed)
    },
  },
  'numbers of rotary past the last four turned the other way': {
    file: 'src/rotary.rs',
    from: 'second * cos + first * sin;',
    to: 'second * cos - first * sin;',
    law: smallSizes('rotary'),
  },
  'key heads that are those of the places of chosen heads': {
    file: 'src/attention_stream.rs',
    from: 'key_head_of(key_heads, h, G, H)',
    to: 'key_head_of(key_heads, first + g, G, H)',
    law: smallSizes('attention'),
  },
  'inputs that are zero for the first token alone left out': {
    file: 'src/nonzero.rs',
    from: '(0..T).any(|t| *x.',
    to: '(0..T.min(1)).any(|t| *x.',
    law: smallSizes('linear_input_major'),
  },
  'a dot of int8 rows without its tail': {
    file: 'src/linear_i8.rs',
    from: 'for i in 0..I % 16 {',
    to: 'for i in 0..I % 8 {',
    law: smallSizes('linear_i8'),
  },
  'a short last block of int4 read past its end': {
    file: 'src/int4.rs',
    from: 'let length = BLOCK.min(I - i);',
    to: 'let length = BLOCK;',
    law: smallSizes('linear_i4'),
  },
  'inputs in the order of their list, whatever their blocks are': {
    file: 'src/linear_input_major_i4.rs',
    from: 'b < last',
    to: 'false',
    law: smallSizes('linear_input_major_i4'),
  },
  'rows that all take the places of their own numbers': {
    file: 'src/copy_interleaved_rows.rs',
    from: 'unit_at(slots, r)',
    to: 'r',
    law: smallSizes('copy_interleaved_rows'),
  },
}

const second: Mutants = {
  'the second of two fours a four too far': {
    file: 'src/linear_i4.rs',
    from: '(quad + half).min(quads - 1)',
    to: '(quad + half + 1).min(quads - 1)',
    law: smallSizes('linear_i4'),
  },
  'the partner of an only input that is multiplied': {
    file: 'src/linear_input_major_i4.rs',
    from: '*q.wrapping_add(members) = 0;',
    to: '*q.wrapping_add(members) = 1;',
    law: smallSizes('linear_input_major_i4'),
  },
}

const third: Mutants = {
  'numbers of four bits of which the upper ones are not shifted': {
    file: 'src/int4.rs',
    from: 'u16x8_shr(x, 4)',
    to: 'u16x8_shr(x, 0)',
    law: smallSizes('linear_i4'),
  },
  'sizes of activations of which one sum does not fit 16 bits': {
    file: 'src/linear_input_major_i4.rs',
    from: 'const MOST_SIZE: i32 = 2184;',
    to: 'const MOST_SIZE: i32 = 2185;',
    law: largestInt4Sums,
  },
}

const builds = [first, second, third].map((mutants, i) => ({ build: i + 1, mutants }))

const toolchain = await findToolchain()
const missing = typeof toolchain === 'string' ? toolchain : null

describe.skipIf(missing !== null)(
  `mutants are killed${missing === null ? '' : `: no Rust to compile them is here: ${missing}`}`,
  () => {
    describe.each(builds)('build $build', ({ mutants }) => {
      let broken: WasmBackend
      beforeAll(async () => {
        if (typeof toolchain === 'string') return
        const binary = await compileModule(toolchain, Object.values(mutants))
        broken = new WasmBackend(new WebAssembly.Module(binary), undefined, 'wasm-rust')
      }, 300_000)

      test.each(Object.entries(mutants))('%s: found', async (_, { law }) => {
        await expect((async () => law(broken))()).rejects.toThrow(/expected/)
      })
    })
  },
)

test('without a bug the same laws pass', async () => {
  const backend = await WasmBackend.create({ build: 'wasm-rust' })
  const all = builds.flatMap(({ mutants }) => Object.values<Mutant>(mutants))
  for (const law of new Set(all.map(({ law }) => law))) await law(backend)
  backend.dispose()
})
