/**
 * Bugs planted in the exact CUDA kernels' sources (law 10): each is found, by a law of its op or by the emulator itself.
 */
import { narrowsToBf16 } from '../../src/verify/ops/stored_weights.ts'
import { runSeed } from '../harness/seed.ts'
import { edges, keeps, stateMutants, type Mutant } from './cuda_planting.ts'
import { longHeads } from './wasm_block_laws.ts'

const linear = { unit: 'linear.cu', ops: ['linear'] } as const
const softmax = { unit: 'softmax.cu', ops: ['softmax'] } as const

const mutants: Mutant[] = [
  {
    bug: 'the lanes of a sum combined in another order',
    file: 'common.cuh',
    from: 'sum = add(sum, __shfl_xor_sync(group, sum, 4));\n  sum = add(sum, __shfl_xor_sync(group, sum, 8));',
    to: 'sum = add(sum, __shfl_xor_sync(group, sum, 8));\n  sum = add(sum, __shfl_xor_sync(group, sum, 4));',
    ...linear,
  },
  {
    bug: 'a product that is fused with its sum',
    file: 'linear_input_major.cu',
    from: 'sum = add(sum, mul(x[i], widen(weight[i * O + o])))',
    to: 'sum = fmaf(x[i], widen(weight[i * O + o]), sum)',
    ops: ['linear_input_major'],
  },
  {
    bug: 'the last terms of a sum added before the lanes',
    file: 'common.cuh',
    from: 'sum = combine_lanes(sum);\n  for (int i = whole; i < length; i++) sum = add(sum, term(i));\n  return',
    to: 'for (int i = whole; i < length; i++) sum = add(sum, term(i));\n  sum = combine_lanes(sum);\n  return',
    ...linear,
  },
  {
    bug: 'a coefficient of exp that is off by one unit',
    file: 'float32.cuh',
    from: '5.0000001201e-1f',
    to: '5.0000007201e-1f',
    unit: 'exp.cu',
    ops: ['exp'],
  },
  {
    bug: 'a bias of subnormal f16 that is off by one',
    file: 'storage.cuh',
    from: 'power_of_two(112)',
    to: 'power_of_two(111)',
    unit: 'embedding.cu',
    ops: ['embedding_f16'],
  },
  {
    bug: 'ties of bf16 always up',
    file: 'storage.cuh',
    from: '0x7fff + (high & 1)',
    to: '0x7fff + 1',
    unit: 'narrow.cu',
    ops: ['narrow_bf16'],
    law: keeps(narrowsToBf16),
  },
  {
    bug: 'one tie too many',
    file: 'top_k.cu',
    from: 'equals_in-- > 0',
    to: 'equals_in-- >= 0',
    ops: ['top_k'],
    says: /expected the memory around an allocation of \d+ bytes untouched/,
  },
  {
    bug: 'any of two zeros taken for the first',
    file: 'min_max.cu',
    from: 'least = first_like(x, D, least)',
    to: 'least = add(first_like(x, D, least), 0)',
    ops: ['min_max'],
  },
  {
    bug: 'rows of one slot that race for it',
    file: 'copy_rows.cuh',
    unit: 'copy_rows.cu',
    from: 'if (block_total(later) > 0) return;',
    to: '',
    ops: ['copy_rows'],
  },
  {
    bug: 'a query that sees one position less',
    file: 'attention.cu',
    from: 'const int visible = S - T + t + 1',
    to: 'const int visible = S - T + t',
    ops: ['attention'],
  },
  {
    bug: 'one level too many for sums in 32 bits',
    file: 'quantized.cuh',
    from: '2147483647LL / (127LL * count)',
    to: '1 + 2147483647LL / (127LL * count)',
    unit: 'attention_i8.cu',
    ops: ['attention_i8'],
    law: (backend) => longHeads(backend, 'attention_i8', runSeed()),
  },
  {
    bug: 'a second tile of inputs that is the first again',
    file: 'linear_i8.cu',
    from: 'round_to(steps, x[start + threadIdx.x])',
    to: 'round_to(steps, x[threadIdx.x])',
    ops: ['linear_i8'],
    law: edges('linear_i8'),
  },
  {
    bug: 'a second tile of rows that is the first again',
    file: 'layer_norm.cu',
    from: 'const size_t n = (size_t)(first + i) * D + d',
    to: 'const size_t n = (size_t)i * D + d',
    ops: ['layer_norm_backward'],
  },
  {
    bug: 'a second block of values that is the first again',
    file: 'attention_i8.cu',
    from: 'value[(head + start + s) * K + k]',
    to: 'value[(head + s) * K + k]',
    ops: ['attention_i8'],
    law: edges('attention_i8'),
  },
  {
    bug: 'scores used before all of them are there',
    file: 'attention.cuh',
    from: 'weights[s] = score;\n  }\n  __syncthreads();',
    to: 'weights[s] = score;\n  }',
    unit: 'attention.cu',
    ops: ['attention'],
  },
  {
    bug: 'a barrier that only threads with work come to',
    file: 'common.cuh',
    from: 'terms[thread] = term(start + thread);\n    __syncthreads();',
    to: '{ terms[thread] = term(start + thread); __syncthreads(); }',
    ...softmax,
    says: /cuStreamSynchronize: .*softmax_exact: block \d+: expected all threads to meet, got a block in which thread \d+ waits/,
  },
  {
    bug: 'a shuffle that waits for a group that has ended',
    file: 'common.cuh',
    from: '0xffffu << (threadIdx.x & LANES)',
    to: 'WHOLE_WARP',
    ...linear,
    says: /expected all threads to meet, got .*thread \d+ waits for its warp at common.cuh:\d+ and thread \d+ has ended/,
  },
  {
    bug: 'a shuffle by a thread its mask does not name',
    file: 'common.cuh',
    from: '0xffffu << (threadIdx.x & LANES)',
    to: '0xffffu',
    ...linear,
    says: /common.cuh:\d+: expected a mask that names lane \d+/,
  },
  {
    bug: 'shared memory for one warp alone',
    file: 'common.cuh',
    from: '__shared__ float terms[MOST_THREADS];',
    to: '__shared__ float terms[WARP];',
    ...softmax,
    law: edges('softmax'),
    says: /softmax_exact: block \d+: common.cuh:\d+: expected an index inside its array, got 32/,
  },
  {
    bug: 'score gradients one place past the shared memory they have',
    file: 'attention.cu',
    from: 'float *score_grad = weights + T;',
    to: 'float *score_grad = weights + T + 1;',
    ops: ['attention_backward'],
    says: /attention_backward_exact: block \d+: expected the memory behind \d+ shared bytes untouched/,
  },
]

stateMutants('exact', mutants)
