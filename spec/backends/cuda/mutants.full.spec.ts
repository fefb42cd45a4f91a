/**
 * Bugs planted in the exact CUDA kernels' sources: each is found, by a law of its op or by the emulator itself.
 */
import { othersAreUnseen } from '../../../src/verify/ops/chosen.ts'
import { narrowsToBf16 } from '../../../src/verify/ops/stored_weights.ts'
import { runSeed } from '../../harness/seed.ts'
import { inOrderOfBlocks } from './block_laws.ts'
import { edges, keeps, stateMutants, type Mutant, type Mutants } from './planting.ts'
import { longHeads } from '../wasm/block_laws.ts'

const linear = { unit: 'linear.cu', ops: ['linear'] } as const
const softmax = { unit: 'softmax.cu', ops: ['softmax'] } as const

const linearI4 = { unit: 'linear_i4.cu', ops: ['linear_i4'] } as const
const inputMajorI4 = { unit: 'linear_input_major_i4.cu', ops: ['linear_input_major_i4'] } as const
const inOrder: Mutant['law'] = (backend) => inOrderOfBlocks(backend, runSeed())

const mutants: Mutants = {
  'the lanes of a sum combined in another order': {
    file: 'shared/common.cuh',
    from: 'sum = add(sum, __shfl_xor_sync(group, sum, 4));\n  sum = add(sum, __shfl_xor_sync(group, sum, 8));',
    to: 'sum = add(sum, __shfl_xor_sync(group, sum, 8));\n  sum = add(sum, __shfl_xor_sync(group, sum, 4));',
    ...linear,
  },
  'a product that is fused with its sum': {
    file: 'linear_input_major.cu',
    from: 'sum = add(sum, mul(x[i], widen(weight[i * O + o])))',
    to: 'sum = fmaf(x[i], widen(weight[i * O + o]), sum)',
    ops: ['linear_input_major'],
  },
  'the last terms of a sum added before the lanes': {
    file: 'shared/common.cuh',
    from: 'sum = combine_lanes(sum);\n  for (int i = whole; i < length; i++) sum = add(sum, term(i));\n  return',
    to: 'for (int i = whole; i < length; i++) sum = add(sum, term(i));\n  sum = combine_lanes(sum);\n  return',
    ...linear,
  },
  'a coefficient of exp that is off by one unit': {
    file: 'shared/float32.cuh',
    from: '5.0000001201e-1f',
    to: '5.0000007201e-1f',
    unit: 'exp.cu',
    ops: ['exp'],
  },
  'a bias of subnormal f16 that is off by one': {
    file: 'shared/storage.cuh',
    from: 'power_of_two(112)',
    to: 'power_of_two(111)',
    unit: 'embedding.cu',
    ops: ['embedding_f16'],
  },
  'ties of bf16 always up': {
    file: 'shared/storage.cuh',
    from: '0x7fff + (high & 1)',
    to: '0x7fff + 1',
    unit: 'narrow.cu',
    ops: ['narrow_bf16'],
    law: keeps(narrowsToBf16),
  },
  'one tie too many': {
    file: 'top_k.cu',
    from: 'equals_in-- > 0',
    to: 'equals_in-- >= 0',
    ops: ['top_k'],
    says: /expected the memory around an allocation of \d+ bytes untouched/,
  },
  'any of two zeros taken for the first': {
    file: 'min_max.cu',
    from: 'least = first_like(x, D, least)',
    to: 'least = add(first_like(x, D, least), 0)',
    ops: ['min_max'],
  },
  'rows of one slot that race for it': {
    file: 'shared/copy_rows.cuh',
    unit: 'copy_rows.cu',
    from: 'if (block_total(later) > 0) return;',
    to: '',
    ops: ['copy_rows'],
  },
  'a query that sees one position less': {
    file: 'attention.cu',
    from: 'seen_of(S - T + t + 1, W)',
    to: 'seen_of(S - T + t, W)',
    ops: ['attention'],
  },
  'a window that is one position longer': {
    file: 'shared/attention.cuh',
    unit: 'attention.cu',
    from: 'const int count = min(end, W)',
    to: 'const int count = min(end, W + 1)',
    ops: ['attention', 'attention_backward'],
  },
  'a cap that rounds small scores as large ones': {
    file: 'shared/float32.cuh',
    unit: 'attention.cu',
    from: 'if (size < 0.625f)',
    to: 'if (size < 0.125f)',
    ops: ['attention'],
  },
  'gradients of capped scores without their slopes': {
    file: 'attention.cu',
    from: 'if (cap > 0) {',
    to: 'if (cap > 0 && T < 0) {',
    ops: ['attention_backward'],
  },
  'blocks of values that begin where the window does': {
    file: 'attention_i8.cu',
    from: '(first + start) % VALUE_BLOCK',
    to: 'start % VALUE_BLOCK',
    ops: ['attention_i8'],
    law: edges('attention_i8'),
  },
  'a key head that is rounded up': {
    file: 'shared/key_heads.cuh',
    unit: 'attention.cu',
    from: '(int)((long long)h * G / H)',
    to: '(int)(((long long)h * G + H - 1) / H) % G',
    ops: ['attention'],
  },
  'a list of key heads that is not read': {
    file: 'attention_i8.cu',
    from: 'key_head_of(key_heads, h, G, H)',
    to: 'key_head_of(key_heads ? nullptr : key_heads, h, G, H)',
    ops: ['attention_i8'],
  },
  'heads of a group whose gradients are added last to first': {
    file: 'attention.cu',
    from: 'for (int h = 0; h < H; h++)',
    to: 'for (int h = H - 1; h >= 0; h--)',
    ops: ['attention_backward'],
  },
  'a scale that is the mean of squares without its root': {
    file: 'rms_norm.cu',
    from: 'divide(1, __fsqrt_rn(add(square, epsilon)))',
    to: 'divide(1, add(square, epsilon))',
    ops: ['rms_norm'],
  },
  'a second tile of scales that is the first again': {
    file: 'rms_norm.cu',
    from: 'const int t = first + group_of_block();',
    to: 'const int t = group_of_block();',
    ops: ['rms_norm_backward'],
  },
  'a pair whose first number is read after it was turned': {
    file: 'rotary.cu',
    from: 'mul(first, sine));',
    to: 'mul(x[i], sine));',
    ops: ['rotary'],
  },
  'a gradient that is turned forwards': {
    file: 'rotary.cu',
    from: 'turn(x_grad, y_grad, table, -1, T, H, R, K)',
    to: 'turn(x_grad, y_grad, table, 1, T, H, R, K)',
    ops: ['rotary_backward'],
  },
  'a gate that is multiplied with a rounded logistic': {
    file: 'activations.cu',
    from: 'mul(divide(gate[n], denominator(gate[n])), up[n])',
    to: 'mul(mul(gate[n], divide(1, denominator(gate[n]))), up[n])',
    ops: ['silu_gate'],
  },
  'a slope of the gate without its second term': {
    file: 'activations.cu',
    from: 'const float slope = mul(s, add(1, mul(z, sub(1, s))));',
    to: 'const float slope = s;',
    ops: ['silu_gate_backward'],
  },
  'one level too many for sums in 32 bits': {
    file: 'shared/quantized.cuh',
    from: '2147483647LL / (127LL * count)',
    to: '1 + 2147483647LL / (127LL * count)',
    unit: 'attention_i8.cu',
    ops: ['attention_i8'],
    law: (backend) => longHeads(backend, 'attention_i8', runSeed()),
  },
  'a second tile of inputs that is the first again': {
    file: 'linear_i8.cu',
    from: 'round_to(steps, x[start + threadIdx.x])',
    to: 'round_to(steps, x[threadIdx.x])',
    ops: ['linear_i8'],
    law: edges('linear_i8'),
  },
  'upper halves of bytes that have the inputs between those of the lower halves': {
    file: 'shared/int4.cuh',
    from: 'row, i % 16)] >> i / 16 * 4 & 15',
    to: 'row, i / 2)] >> i % 2 * 4 & 15',
    ...linearI4,
  },
  'a step that is multiplied with the sum before the scale': {
    file: 'shared/int4.cuh',
    from: 'mul(mul(scale, step), __int2float_rn(product))',
    to: 'mul(scale, mul(step, __int2float_rn(product)))',
    ...linearI4,
  },
  'a block of inputs rounded with numbers past the last input': {
    file: 'linear_i4.cu',
    from: 'round_block(i < I ? x[i] : 0)',
    to: 'round_block(x[i])',
    ...linearI4,
  },
  'blocks that end where they begin': {
    file: 'shared/int4.cuh',
    from: 'first_not_below(block_of, count, block + 1)',
    to: 'first_not_below(block_of, count, block)',
    ...inputMajorI4,
    law: inOrder,
  },
  'a search that leaves out the last of a part': {
    file: 'shared/int4.cuh',
    from: 'from += warp_total(last < to && number(last) < least) * width;',
    to: 'from += warp_total(last < to - 1 && number(last) < least) * width;',
    ...inputMajorI4,
    law: inOrder,
  },
  'lists in any order searched as if blocks never fell': {
    file: 'shared/int4.cuh',
    from: 'if (!ascends) return',
    to: 'if (!ascends && count < 0) return',
    ...inputMajorI4,
  },
  'the scales of a block without a chosen input read': {
    ...inputMajorI4,
    file: 'linear_input_major_i4.cu',
    from: 'if (block_total(members) == 0) continue;',
    to: '',
    law: keeps(othersAreUnseen('linear_input_major_i4')),
  },
  'a minimum that is copied from the place of the next scale': {
    file: 'copy_interleaved_rows.cu',
    from: 'k / 2 * 8 + row * 2',
    to: 'k / 2 * 2 + row * 2',
    ops: ['copy_interleaved_rows'],
  },
  'a second tile of rows that is the first again': {
    file: 'layer_norm.cu',
    from: 'const size_t n = (size_t)(first + i) * D + d',
    to: 'const size_t n = (size_t)i * D + d',
    ops: ['layer_norm_backward'],
  },
  'a second block of values that is the first again': {
    file: 'attention_i8.cu',
    from: 'value[(head + start + s) * K + k]',
    to: 'value[(head + s) * K + k]',
    ops: ['attention_i8'],
    law: edges('attention_i8'),
  },
  'scores used before all of them are there': {
    file: 'shared/attention.cuh',
    from: 'weights[s] = cap_score(score, cap);\n  }\n  __syncthreads();',
    to: 'weights[s] = cap_score(score, cap);\n  }',
    unit: 'attention.cu',
    ops: ['attention'],
  },
  'a barrier that only threads with work come to': {
    file: 'shared/common.cuh',
    from: 'terms[thread] = term(start + thread);\n    __syncthreads();',
    to: '{ terms[thread] = term(start + thread); __syncthreads(); }',
    ...softmax,
    says: /cuStreamSynchronize: .*softmax_exact: block \d+: expected all threads to meet, got a block in which thread \d+ waits/,
  },
  'a shuffle that waits for a group that has ended': {
    file: 'shared/common.cuh',
    from: '0xffffu << (threadIdx.x & LANES)',
    to: 'WHOLE_WARP',
    ...linear,
    // Which of the two is named first depends on the case that finds it.
    says: /expected all threads to meet, got (?=.*thread \d+ waits for its warp at common.cuh:\d+).*thread \d+ has ended/,
  },
  'a shuffle by a thread its mask does not name': {
    file: 'shared/common.cuh',
    from: '0xffffu << (threadIdx.x & LANES)',
    to: '0xffffu',
    ...linear,
    says: /common.cuh:\d+: expected a mask that names lane \d+/,
  },
  'shared memory for one warp alone': {
    file: 'shared/common.cuh',
    from: '__shared__ float terms[MOST_THREADS];',
    to: '__shared__ float terms[WARP];',
    ...softmax,
    law: edges('softmax'),
    says: /softmax_exact: block \d+: common.cuh:\d+: expected an index inside its array, got 32/,
  },
  'score gradients one place past the shared memory they have': {
    file: 'attention.cu',
    from: 'float *score_grad = weights + T;',
    to: 'float *score_grad = weights + T + 1;',
    ops: ['attention_backward'],
    says: /attention_backward_exact: block \d+: expected the memory behind \d+ shared bytes untouched/,
  },
}

stateMutants('exact', mutants)
