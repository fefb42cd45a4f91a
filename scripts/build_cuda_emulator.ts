/**
 * `npm run build:cuda-emulator`: builds the library of the emulated CUDA backends in cuda/build, with g++.
 *
 *   --asan   a second library, with the address sanitizer
 */
import { relative } from 'node:path'
import { buildEmulator, emulatorPath } from './cuda/emulator.ts'
import { root } from './sources.ts'

const asan = process.argv.includes('--asan')
const output = emulatorPath(asan)
const state = await buildEmulator({ output, asan })
process.stdout.write(`${relative(root, output)}: ${state}\n`)
