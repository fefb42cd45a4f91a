/**
 * Builds the emulator with g++: the kernels and the calls of the driver as one library for the processor.
 */
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { dirname, join } from 'node:path'
import type { KernelSet } from '../../src/backends/backend.ts'
import { kernelIn } from '../../src/backends/cuda/launch.ts'
import type { KernelName } from '../../src/ops/catalog.ts'
import { hashOf, root, type Plant, type Sources } from '../sources.ts'
import { compile, whyMissing } from '../tool.ts'
import { symbols } from './module.ts'
import { kernelsHash, readSources } from './sources.ts'

const buildFolder = join(root, 'cuda/build')

/** What every file is compiled with. */
const common = ['-std=c++17', '-fPIC', '-Wall', '-Wextra', '-Werror', '-fvisibility=hidden']
/** What float32 arithmetic on the device is: nothing fused, nothing rearranged; and its arrays have ends. */
const kernelFlags = ['-ffp-contract=off', '-fno-strict-aliasing', '-fsanitize=bounds']

/** Why the emulator cannot be built here; null if it can. */
export async function whyNoEmulator(): Promise<string | null> {
  // Elsewhere g++ is another compiler by that name, and libraries have other forms.
  if (process.platform !== 'linux') return `expected Linux, got ${process.platform}`
  return whyMissing('g++')
}

/** What is built, and from what. */
export interface EmulatorBuild {
  /** Where the library goes. */
  readonly output: string
  /** A bug to be planted first. It is not seen in what the library says it was made from. */
  readonly plant?: Plant
  /** One file of kernels, the ops it has and in which set (exact unless it says), instead of all. */
  readonly part?: { readonly file: string; readonly ops: readonly KernelName[]; readonly set?: KernelSet }
  /** With the address sanitizer in it, whose library must then be loaded first. */
  readonly asan?: boolean
  /** Defined in every file, such as EMULATOR_UCONTEXT. */
  readonly defines?: readonly string[]
}

/** Where the backend looks for the library, or the one with the sanitizer. */
export function emulatorPath(asan = false): string {
  return join(buildFolder, asan ? 'libcuda_emulated_asan.so' : 'libcuda_emulated.so')
}

/**
 * Builds the library, unless it stands there made from the same sources in the same way.
 * @throws Error with what g++ said
 */
export async function buildEmulator({
  output,
  plant,
  part,
  asan = false,
  defines = [],
}: EmulatorBuild): Promise<'built' | 'kept'> {
  const sources = readSources(plant)
  const flags = [
    ...common,
    ...(asan ? ['-O1', '-g', '-fsanitize=address'] : ['-O2']),
    ...defines.map((name) => `-D${name}`),
  ]
  // A part runs a law or two: compiling it well costs more than it saves. The arithmetic is the same.
  const ownFlags = part ? [...flags, '-O0'] : flags
  const names = part?.ops.map((op) => kernelIn(part.set ?? 'exact', op).symbol) ?? symbols
  const kernels = names.map((name) => `KERNEL(${name})`).join(' ')
  const named = [
    `-DMODULE="../${part?.file ?? 'kernels.cu'}"`,
    `-DKERNELS=${kernels}`,
    `-DSOURCES="${kernelsHash()}"`,
  ]
  const key = hashOf([...sources, ['flags', [...ownFlags, ...kernelFlags, ...named].join(' ')]])
  if (readIfThere(`${output}.key`) === key && existsSync(output)) return 'kept'
  mkdirSync(buildFolder, { recursive: true })
  const folder = mkdtempSync(`${output}.`)
  try {
    for (const [name, text] of sources) {
      mkdirSync(dirname(join(folder, name)), { recursive: true })
      writeFileSync(join(folder, name), text)
    }
    await Promise.all([
      compile('g++', [...ownFlags, ...kernelFlags, ...named, '-c', 'emulator/kernels.cpp'], folder),
      ...units.map((unit) => compileUnit(folder, unit, flags, sources, plant)),
    ])
    const library = ['-shared', '-Wl,-Bsymbolic', ...(asan ? ['-fsanitize=address'] : []), '-o', 'library.so']
    await compile('g++', [...library, 'kernels.o', ...units.map((unit) => `${unit}.o`)], folder)
    rmSync(`${output}.key`, { force: true })
    renameSync(join(folder, 'library.so'), output)
    writeFileSync(`${output}.key`, key)
    return 'built'
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

/** What stands beside the kernels. */
const units = ['block', 'fiber', 'driver', 'stream', 'graph']

/** Compiles a part of the emulator itself, or takes it from an earlier build: mutants of kernels have it in common. */
async function compileUnit(
  folder: string,
  unit: string,
  flags: readonly string[],
  sources: Sources,
  plant: Plant | undefined,
): Promise<void> {
  const file = `emulator/${unit}.cpp`
  const object = join(folder, `${unit}.o`)
  const make = (): Promise<string> => compile('g++', [...flags, '-c', file], folder)
  // What it is made from: its own file and the headers of the emulator.
  const isPart = (name: string): boolean => name === file || /^emulator\/.*\.h$/.test(name)
  if (plant !== undefined && isPart(plant.file)) return void (await make())
  const hash = hashOf([...[...sources].filter(([name]) => isPart(name)), ['flags', flags.join(' ')]])
  const kept = join(buildFolder, `${unit}-${hash.slice(0, 16)}.o`)
  if (existsSync(kept)) return copyFileSync(kept, object)
  await make()
  // First under another name: somebody else may build at the same time.
  copyFileSync(object, `${kept}.${process.pid}`)
  renameSync(`${kept}.${process.pid}`, kept)
}

function readIfThere(path: string): string | null {
  return existsSync(path) ? readFileSync(path, 'latin1') : null
}
