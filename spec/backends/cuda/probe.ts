/**
 * A program that runs one CUDA kernel on the emulator whose path it is given, and prints what it computed: for laws about
 * emulators that must be in a process of their own.
 */
import { CudaBackend } from '../../../src/backends/cuda/cuda_backend.ts'
import { Driver } from '../../../src/backends/cuda/driver.ts'

const driver = await Driver.open(process.argv[2], 'expected an emulator')
const backend = await CudaBackend.on(driver, 'cuda-emulated')
const y = backend.allocate('f32', [1, 2])
const x = backend.upload(Float32Array.of(1, 2, 3), [1, 3])
const weight = backend.upload(Float32Array.of(1, 2, 3, 4, 5, 6), [3, 2])
backend.ops.linear_input_major(y, x, weight, null, null)
process.stdout.write(`${backend.readF32(y).join(' ')}\n`)
backend.dispose()
