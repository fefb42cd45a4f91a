/**
 * The WGSL kernels that trade bits for speed keep the fast bounds of the catalogue, and the equalities between results of one backend:
 * skipped = zeroed, a token alone = among others, half precision = its float32 value. spec/engine/laws.spec.ts states those of whole
 * models.
 */
import { describe, expect, test } from 'vitest'
import { fastKernels } from '../../../src/backends/webgpu/fast_kernels.ts'
import { kernelNames, kernels } from '../../../src/ops/catalog.ts'
import { agreementLaws } from '../../../src/verify/ops/agreement.ts'
import { attentionLaws } from '../../../src/verify/ops/attention.ts'
import { allIsDense, choosingOps, chosenIsZeroed, othersAreUnseen } from '../../../src/verify/ops/chosen.ts'
import * as halfPrecision from '../../../src/verify/ops/half_precision.ts'
import * as layerNorm from '../../../src/verify/ops/layer_norm.ts'
import * as linear from '../../../src/verify/ops/linear.ts'
import * as rmsNorm from '../../../src/verify/ops/rms_norm.ts'
import * as softmax from '../../../src/verify/ops/softmax.ts'
import { tokenOps, tokensApart } from '../../../src/verify/ops/tokens.ts'
import * as zeroTerms from '../../../src/verify/ops/zero_terms.ts'
import { overFastWebGpu } from '../../harness/backends.ts'
import { stateLaws } from '../../harness/state.ts'
import { verdict } from '../../harness/mutate.ts'
import { exactKernels, type WgslKernel } from '../../../src/backends/webgpu/exact_kernels.ts'
import { float32Wgsl } from '../../../src/backends/webgpu/float32_wgsl.ts'
import { withWebGpu } from './device.ts'

const fastOps = kernelNames.filter((name) => name in fastKernels)
const isFast = (op: (typeof kernelNames)[number]): boolean => fastOps.includes(op)

test('a fast kernel is one whose definition states a fast bound', () => {
  expect(fastOps.length).toBeGreaterThan(5)
  for (const name of fastOps) expect(kernels[name].fast, name).not.toBeNull()
})

const laws = [
  // Storages share a kernel, and each has the numbers of its widened weights: random sizes are enough for them.
  ...fastOps.flatMap((op) => agreementLaws(op).slice(kernels[op].storage === 'f32' ? 0 : 1)),
  ...choosingOps()
    .filter(isFast)
    .flatMap((op) => [allIsDense(op), chosenIsZeroed(op), othersAreUnseen(op)]),
  ...tokenOps().filter(isFast).map(tokensApart),
  ...Object.values(halfPrecision),
  ...Object.values(linear),
  ...Object.values(zeroTerms),
  ...Object.values(attentionLaws),
  ...Object.values(layerNorm),
  ...Object.values(rmsNorm),
  ...Object.values(softmax),
]
stateLaws({ 'the fast set': laws.map((law) => ({ ...law, runs: Math.min(law.runs, 40) })) }, overFastWebGpu)

describe('a bug in a fast kernel is found', () => {
  const bugs = [
    { op: 'linear', from: 'i += 64', to: 'i += 65' },
    { op: 'linear', from: 'let terms = select(0, p.I, chosen);', to: 'let terms = p.I;' },
    { op: 'linear_input_major', from: 'r + 8 <= p.R', to: 'r + 7 <= p.R' },
    { op: 'linear_input_major', from: 'weight(i3 *', to: 'weight(i4 *' },
    { op: 'attention', from: 'most = group_most(thread, most);', to: '' },
    { op: 'attention', from: 'select(0, seen, chosen)', to: 'select(0, seen - 1, chosen)' },
    { op: 'rms_norm', from: ', p.epsilon', to: ', p.epsilon + p.epsilon' },
    { op: 'softmax', from: 'most = group_most(thread, most);', to: '' },
  ] as const
  for (const { op, from, to } of bugs)
    withWebGpu(
      `${op}: ${to === '' ? 'nothing' : to} in place of ${from}`,
      async (backend) => expect(await verdict(agreementLaws(op)[1], backend)).toMatch(/expected/),
      { set: 'webgpu-fast' },
      () => {
        const kernel = fastKernels[op] as WgslKernel
        const passes = Object.entries(kernel.passes)
        expect(passes.map(([, text]) => text).join('')).toContain(from)
        const broken = {
          ...kernel,
          passes: Object.fromEntries(passes.map(([pass, text]) => [pass, text.replaceAll(from, to)])),
        }
        return { kernels: { ...exactKernels, ...fastKernels, [op]: broken }, library: float32Wgsl }
      },
    )
})
