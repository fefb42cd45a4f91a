/**
 * What WGSL is made of: every kernel of the catalogue has passes whose names its runs have, every array of a call has what reads it,
 * and no word is WGSL's own.
 *
 * Tests src/backends/webgpu/exact_kernels.ts, src/backends/webgpu/float32_wgsl.ts and src/backends/webgpu/gpu_protocol.ts.
 */
import { expect, test } from 'vitest'
import { exactKernels } from '../../../src/backends/webgpu/exact_kernels.ts'
import { fastKernels } from '../../../src/backends/webgpu/fast_kernels.ts'
import { float32Wgsl } from '../../../src/backends/webgpu/float32_wgsl.ts'
import { UNIFORM_BYTES } from '../../../src/backends/webgpu/gpu_protocol.ts'
import { shaderText, uniformHead } from '../../../src/backends/webgpu/shader.ts'
import { kernelNames, kernels } from '../../../src/ops/catalog.ts'

test.each(kernelNames)(
  '%s: each run is of a pass, each pass is run, and its numbers fit into the uniform block',
  (name) => {
    const { passes, runs } = exactKernels[name]
    const found = new Set(runs === undefined ? ['main'] : runs(() => 3).map(({ pass }) => pass))
    expect([...found].sort()).toEqual(Object.keys(passes).sort())
    expect(4 * (uniformHead.length + kernels[name].params.length + 1)).toBeLessThanOrEqual(UNIFORM_BYTES)
  },
)

test.each(Object.entries({ exact: exactKernels, fast: fastKernels }))(
  'a kernel of the %s ones has words of scratch if and only if a pass writes there',
  (_, all) => {
    for (const [name, { passes, scratch }] of Object.entries(all))
      expect(
        Object.values(passes).some((code) => code.includes('set_scratch(')),
        name,
      ).toBe((scratch?.(() => 3) ?? 0) > 0)
  },
)

test('an array in several windows is read where each number stands, and an absent one is nothing', () => {
  const text = shaderText(
    kernels.add,
    exactKernels.add,
    'main',
    [[0, 0], [1, 3], null, null],
    1000,
    float32Wgsl,
  )
  expect(text).toContain(
    'switch (w / 1000) { case 0 { return m1[o]; } case 1 { return m2[o]; } default { return m3[o]; } }',
  )
  expect(text).toContain('const has_b = false;')
  expect(text.match(/@binding/g)).toHaveLength(5)
})

test('no product or sum is left to the compiler: what rounds passes through a number that it does not know', () => {
  for (const name of ['add', 'sub', 'mul'])
    expect(float32Wgsl).toMatch(
      new RegExp(`fn ${name}_normal\\(a: f32, b: f32\\) -> f32 { return of_bits\\(`),
    )
})
