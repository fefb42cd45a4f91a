/**
 * Bugs planted in the CUDA kernels that trade bits for speed, one at least in each file: each is found, though
 * these kernels owe bounds and no bits, by a law of its op or by the emulator itself.
 */
import { expect, test } from 'vitest'
import { readSources } from '../../../scripts/cuda/sources.ts'
import { chosenIsZeroed } from '../../../src/verify/ops/chosen.ts'
import { tokensApart } from '../../../src/verify/ops/tokens.ts'
import { runSeed } from '../../harness/seed.ts'
import { inOrderOfBlocks } from './block_laws.ts'
import { edges, keeps, stateMutants, wide, type Mutants } from './planting.ts'

const linear = { file: 'fast/linear.cu', ops: ['linear'] } as const
const vectors = { file: 'fast/vector.cuh', unit: 'fast/linear.cu' } as const
const inputMajor = { file: 'fast/linear_input_major.cu', ops: ['linear_input_major'] } as const
const linearI4 = { file: 'fast/linear_i4.cu', ops: ['linear_i4'] } as const
const inputMajorI4 = { file: 'fast/linear_input_major_i4.cu', ops: ['linear_input_major_i4'] } as const
const attention = { file: 'fast/attention.cu', ops: ['attention'] } as const
const attentionI8 = { file: 'fast/attention_i8.cu', ops: ['attention_i8'] } as const

const mutants: Mutants = {
  'a tail that leaves its last number out': {
    ...vectors,
    from: 'count > 2 ? widen(x[2]) : 0',
    to: 'count > 3 ? widen(x[2]) : 0',
    ops: ['linear'],
  },
  'wide loads wherever a row starts': {
    ...vectors,
    from: '% (WIDE * sizeof(Stored)) == 0 && length % WIDE == 0',
    to: '% (WIDE * sizeof(Stored)) == 0 && length > 0',
    ops: ['linear'],
    law: wide('linear'),
  },
  'halves of a pair that change places': {
    ...vectors,
    from: 'widen_f16(pairs.x & 0xffff), widen_f16(pairs.x >> 16)',
    to: 'widen_f16(pairs.x >> 16), widen_f16(pairs.x & 0xffff)',
    ops: ['linear_f16'],
    law: wide('linear_f16'),
  },
  'a lane that takes every fourth number': {
    ...linear,
    from: 'const int first = threadIdx.x % WARP * WIDE;',
    to: 'const int first = threadIdx.x % WARP;',
  },
  'a second round of lanes that is not there': {
    ...linear,
    from: 'i < I; i += WARP * WIDE) add_four([](const auto *from) { return load_wide(from); }, i);',
    to: 'i < min(I, WARP * WIDE); i += WARP * WIDE) add_four([](const auto *from) { return load_wide(from); }, i);',
    law: wide('linear'),
  },
  'a second tile of tokens that is the first again': {
    ...linear,
    from: 'x += (size_t)token * I;',
    to: '',
  },
  'lanes whose order follows from the tokens beside': {
    ...linear,
    from: 'sums[n][t] = multiply_add(weights[n], inputs, sums[n][t])',
    to: 'sums[n][t] = TOKENS == 1 ? multiply_add(inputs.w, weights[n].w, multiply_add(weights[n], {inputs.x, inputs.y, inputs.z, 0}, sums[n][t])) : multiply_add(weights[n], {inputs.x, inputs.y, inputs.z, 0}, multiply_add(inputs.w, weights[n].w, sums[n][t]))',
    law: keeps(tokensApart('linear')),
  },
  'rows that were not chosen left as they were': {
    file: 'fast/rows.cuh',
    unit: 'fast/linear.cu',
    from: 'if (rows == nullptr) return;',
    to: 'return;',
    ops: ['linear'],
    says: /: expected |number .* untouched/,
  },
  'the halves of a word that change places': {
    file: 'fast/bytes.cuh',
    unit: 'fast/linear_i8.cu',
    from: '__dp2a_hi(low.y, bytes.x, __dp2a_lo(low.x, bytes.x, sum))',
    to: '__dp2a_hi(low.x, bytes.x, __dp2a_lo(low.y, bytes.x, sum))',
    ops: ['linear_i8'],
  },
  'the scale of the first row for every row': {
    file: 'fast/linear_i8.cu',
    from: 'mul(mul(steps.step, scales[o]), __int2float_rn(sum))',
    to: 'mul(mul(steps.step, scales[0]), __int2float_rn(sum))',
    ops: ['linear_i8'],
  },
  'the halves of bytes that change places': {
    ...linearI4,
    from: '__dp4a(word >> 4 & 0x0f0f0f0f, high, __dp4a(word & 0x0f0f0f0f, low, sum))',
    to: '__dp4a(word >> 4 & 0x0f0f0f0f, low, __dp4a(word & 0x0f0f0f0f, high, sum))',
  },
  'terms that are added before all lanes have theirs': {
    ...linearI4,
    from: '__syncwarp();\n      if (lane < QUAD_ROWS)',
    to: 'if (lane < QUAD_ROWS)',
  },
  'a second tile of blocks that has the weights of the first': {
    ...linearI4,
    from: '((size_t)g * B + start + b) * QUAD_BYTES',
    to: '((size_t)g * B + b) * QUAD_BYTES',
    law: wide('linear_i4'),
  },
  'a tile that is used while it is filled': {
    ...inputMajor,
    from: 'turn ^= 1)',
    to: 'turn ^= 0)',
    law: edges('linear_input_major'),
  },
  'a tile that is used before it is there': {
    ...inputMajor,
    from: 'if (count > 0) fill(stages[0], product, 0, thread, threads);\n  __syncthreads();',
    to: 'if (count > 0) fill(stages[0], product, 0, thread, threads);',
  },
  'terms that are added to lanes, so that a missing one moves the others': {
    ...inputMajor,
    from: 'for (int r = 0; r < width; r++) sum = multiply_add(stage.factors[t][r], stage.weights[r][column], sum);',
    to: '{ float lanes[2] = {}; for (int r = 0; r < width; r++) lanes[r % 2] = multiply_add(stage.factors[t][r], stage.weights[r][column], lanes[r % 2]); sum = add(sum, add(lanes[0], lanes[1])); }',
    law: keeps(chosenIsZeroed('linear_input_major')),
  },
  'factors that belong to the place in the list': {
    file: 'fast/linear_input_major_i8.cu',
    from: 'numbers[r] = round_to(steps, factor(places[r]));',
    to: 'numbers[r] = round_to(steps, factor(start + r));',
    ops: ['linear_input_major_i8'],
  },
  'outputs in the order of the lanes': {
    ...inputMajorI4,
    from: 'lane / 16 * 16 + lane % 4 * 4 + lane / 4 % 4',
    to: 'lane',
  },
  'terms of blocks that are added before all warps have theirs': {
    ...inputMajorI4,
    from: '__syncthreads();\n    if (warp == 0)',
    to: 'if (warp == 0)',
  },
  'rows of a word that are turned the other way': {
    ...inputMajorI4,
    from: '__byte_perm(words[2], words[3], 0x7362)',
    to: '__byte_perm(words[3], words[2], 0x7362)',
  },
  'inputs past the 32 of a block that are left out': {
    ...inputMajorI4,
    from: 'start < places.to; start += WARP)',
    to: 'start < min(places.to, places.from + WARP); start += WARP)',
    law: (backend) => inOrderOfBlocks(backend, runSeed()),
  },
  'the head before': {
    ...attention,
    from: 'key_head_of(key_heads, h, G, H)',
    to: 'key_head_of(key_heads, max(h - 1, 0), G, H)',
  },
  'a query that is not scaled': {
    ...attention,
    from: '{mul(plain.x, scale), mul(plain.y, scale)',
    to: '{plain.x, mul(plain.y, scale)',
  },
  'parts of the past that are added before all are there': {
    ...attention,
    from: 'sums_of[part][k - first + 3] = sum.w;\n    }\n    __syncthreads();',
    to: 'sums_of[part][k - first + 3] = sum.w;\n    }',
  },
  'a past without its last part': {
    ...attention,
    from: 'for (int part = 0; part < PARTS; part++) sum = add(sum, sums_of[part][k]);',
    to: 'for (int part = 0; part < PARTS - 1; part++) sum = add(sum, sums_of[part][k]);',
  },
  'a list of key heads that is not read': {
    ...attentionI8,
    from: 'key_head_of(key_heads, h, G, H)',
    to: 'key_head_of(key_heads ? nullptr : key_heads, h, G, H)',
  },
  'half of a warp’s positions': {
    ...attentionI8,
    from: 'sums[n] += __shfl_xor_sync(WHOLE_WARP, sums[n], WARP / 2);',
    to: ';',
  },
  'a second part of blocks that has the step of the first': {
    ...attentionI8,
    from: 'multiply_add(steps_of[block], ',
    to: 'multiply_add(steps_of[0], ',
    law: edges('attention_i8'),
  },
  'positions before a window that stay in their block': {
    ...attentionI8,
    from: 's < skipped; s += blockDim.x) factors[s] = 0;',
    to: 's < skipped; s += blockDim.x) factors[s] = 1;',
    law: edges('attention_i8'),
  },
  'squares of the numbers themselves': {
    file: 'fast/layer_norm.cu',
    from: 'const float deviation = sub(value, mean);',
    to: 'const float deviation = value;',
    ops: ['layer_norm'],
  },
  'a mean of squares over one number more': {
    file: 'fast/rms_norm.cu',
    from: '__int2float_rn(D)',
    to: '__int2float_rn(D + 1)',
    ops: ['rms_norm'],
  },
  'a sum that is of one warp': {
    file: 'fast/vector.cuh',
    unit: 'fast/softmax.cu',
    from: 'inline float block_sum(float value) { return block_reduce(value, add); }',
    to: 'inline float block_sum(float value) { return warp_reduce(value, add); }',
    ops: ['softmax'],
    law: edges('softmax'),
  },
  'a row without what is past its last 16 bytes': {
    file: 'fast/copy_rows.cu',
    from: 'int i = loads * wide + threadIdx.x; i < count;',
    to: 'int i = loads * wide + threadIdx.x; i < loads * wide;',
    ops: ['copy_rows'],
  },
}

test('every file of fast kernels has a planted bug', () => {
  const files = [...readSources().keys()].filter((name) => name.startsWith('fast/'))
  const planted = new Set(Object.values(mutants).flatMap(({ file, unit }) => [file, unit]))
  expect(files.length).toBeGreaterThan(9)
  expect(files.filter((name) => !planted.has(name))).toEqual([])
})

stateMutants('fast', mutants)
