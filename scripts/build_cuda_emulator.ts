/**
 * `npm run build:cuda-emulator`: builds the library behind the emulated CUDA backends into cuda/build, by g++.
 *
 *   --asan   with the address sanitizer, beside the other one
 */
import { relative } from 'node:path'
import { buildEmulator, emulatorPath } from './cuda/emulator.ts'
import { root } from './sources.ts'

const asan = process.argv.includes('--asan')
const output = emulatorPath(asan)
const state = await buildEmulator({ output, asan })
process.stdout.write(`${relative(root, output)}: ${state}\n`)
