/**
 * A program whose shader never ends once a text has its seventh token: it goes on with the text in WASM, and ends. It prints what
 * happens, and has exit code 4.
 */
import { exactKernels } from '../../../src/backends/webgpu/exact_kernels.ts'
import { float32Wgsl } from '../../../src/backends/webgpu/float32_wgsl.ts'
import { WebGpuBackend } from '../../../src/backends/webgpu/webgpu_backend.ts'
import { endWhenIdle } from '../../../src/platform/platform.ts'
import type { MissingError } from '../../../src/tensor/errors.ts'
import { twoModels } from './two_models.ts'

const { embedding } = exactKernels
const endless = `
  if (ids(n / p.D) == 7) {
    var v = f32(n);
    for (var i = 0; i < 2147483647; i++) { for (var j = 0; j < 2147483647; j++) { v = add(mul(v, 0.5), 1); } }
    set_y(n, v);
    return;
  }`
const kernels = {
  ...exactKernels,
  embedding: { ...embedding, passes: { main: endless + embedding.passes.main } },
}
const gpu = await WebGpuBackend.create('webgpu', { patience: 8000 }, { kernels, library: float32Wgsl })
const { gpu: model, wasm } = await twoModels(gpu)
let sequence = model.begin()
const text: number[] = []
for (let token = 1; token < 10; token++) {
  text.push(token)
  try {
    sequence.feed(Int32Array.of(token))
  } catch (error) {
    console.log((error as MissingError).code, `at token ${token}`)
    sequence.dispose()
    model.dispose()
    gpu.dispose()
    sequence = wasm.begin()
    sequence.feed(Int32Array.from(text))
  }
}
console.log(`${text.length} tokens`)
endWhenIdle(4)
