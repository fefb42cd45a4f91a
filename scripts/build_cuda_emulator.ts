/**
 * `npm run build:cuda-emulator`: builds the library behind the backend `cuda-emulated` into cuda/build, by g++.
 *
 *   --asan   with the address sanitizer, beside the other one; cuda/README.md says how it is run
 */
import { join } from 'node:path'
import { buildEmulator, emulatorPath } from './cuda/emulator.ts'

const asan = process.argv.includes('--asan')
const output = emulatorPath(asan)
const state = await buildEmulator({ output, asan })
process.stdout.write(`${join('cuda', 'build')}: ${state}\n`)
