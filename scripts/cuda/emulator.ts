/**
 * Builds the emulator: the kernels and the driver's calls as one library for the processor, by g++.
 */
import { mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { opNames } from '../../src/ops/catalog.ts'
import { hashOf, kernelsHash, readSources, root, type Plant } from './sources.ts'
import { compile } from './tool.ts'

/** What every file is compiled with. */
const common = ['-std=c++17', '-fPIC', '-Wall', '-Wextra', '-Werror', '-fvisibility=hidden']
/** What float32 arithmetic on the device is: nothing fused, nothing rearranged; and its arrays have ends. */
const kernelFlags = ['-ffp-contract=off', '-fno-strict-aliasing', '-fsanitize=bounds']

/** What is built, and from what. */
export interface EmulatorBuild {
  /** Where the library goes. */
  readonly output: string
  /** A bug to be planted first. It is not seen in what the library says it was made from. */
  readonly plant?: Plant
  /** With the address sanitizer in it, whose library must then be loaded first. */
  readonly asan?: boolean
  /** Defined in every file, such as EMULATOR_UCONTEXT. */
  readonly defines?: readonly string[]
}

/** Where the backend looks for the library, or the one with the sanitizer. */
export function emulatorPath(asan = false): string {
  return join(root, 'cuda/build', asan ? 'libcuda_emulated_asan.so' : 'libcuda_emulated.so')
}

/** Builds the library, unless it stands there made from the same sources in the same way. @throws Error with what g++ said */
export async function buildEmulator({
  output,
  plant,
  asan = false,
  defines = [],
}: EmulatorBuild): Promise<'built' | 'kept'> {
  const sources = readSources(plant)
  const flags = [
    ...common,
    ...(asan ? ['-O1', '-g', '-fsanitize=address'] : ['-O2']),
    ...defines.map((name) => `-D${name}`),
  ]
  const kernels = opNames.map((name) => `KERNEL(${name}_exact)`).join(' ')
  const named = [`-DKERNELS=${kernels}`, `-DSOURCES="${kernelsHash()}"`]
  const key = hashOf([...sources, ['flags', [...flags, ...kernelFlags, ...named].join(' ')]])
  const keyFile = `${output}.key`
  if (readIfThere(keyFile) === key && readIfThere(output) !== null) return 'kept'
  mkdirSync(dirname(output), { recursive: true })
  const folder = mkdtempSync(`${output}.`)
  try {
    for (const [name, text] of sources) {
      mkdirSync(dirname(join(folder, name)), { recursive: true })
      writeFileSync(join(folder, name), text)
    }
    const units = ['kernels', 'block', 'fiber', 'driver']
    await Promise.all(
      units.map((unit) => {
        const own = unit === 'kernels' ? [...kernelFlags, ...named] : []
        return compile('g++', [...flags, ...own, '-c', `emulator/${unit}.cpp`, '-o', `${unit}.o`], folder)
      }),
    )
    const objects = units.map((unit) => `${unit}.o`)
    const library = ['-shared', '-Wl,-Bsymbolic', ...(asan ? ['-fsanitize=address'] : []), '-o', 'library.so']
    await compile('g++', [...library, ...objects], folder)
    rmSync(keyFile, { force: true })
    renameSync(join(folder, 'library.so'), output)
    writeFileSync(keyFile, key)
    return 'built'
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

function readIfThere(path: string): string | null {
  try {
    return readFileSync(path, 'latin1')
  } catch {
    return null
  }
}
