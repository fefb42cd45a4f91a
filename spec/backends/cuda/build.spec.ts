/**
 * The committed CUDA module is what the sources in cuda/ compile to, byte for byte, and has a kernel for every op.
 *
 * Without nvcc it is still known whether it was made from these sources, and whether anybody changed it by hand.
 */
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, utimesSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { encodeBundle, partsIn, readBundle, writeBundle } from '../../../scripts/cuda/certify/bundle.ts'
import { ProgramWriter } from '../../../scripts/cuda/certify/program.ts'
import { manifestOf, manifestPath, modulePath, parseUsage } from '../../../scripts/cuda/module.ts'
import { kernelsHash, readSources } from '../../../scripts/cuda/sources.ts'
import { hashOf, root } from '../../../scripts/sources.ts'
import { fastOps } from '../../../src/backends/cuda/launch.ts'
import { kernelNames, kernels, type KernelName } from '../../../src/ops/catalog.ts'
import type { Kernel } from '../../../src/ops/op.ts'

const committed = readFileSync(modulePath, 'utf8')

/** The parameters of each kernel, as PTX types. */
function kernelsOf(module: string): Record<string, string[]> {
  const entries = [...module.matchAll(/\.visible \.entry (\w+)\(([^)]*)\)/g)]
  return Object.fromEntries(
    entries.map(([, name, parameters]) => [name, parameters.match(/\.(u64|u32|f32)(?= )/g) ?? []]),
  )
}

function typesOf(row: Kernel): string[] {
  const types = { array: '.u64', size: '.u32', scalar: '.f32' } as const
  return row.params.map(({ kind }) => types[kind])
}

test('the module was made from these sources and is unchanged', () => {
  expect(JSON.parse(readFileSync(manifestPath, 'utf8')), 'run `npm run build:cuda`').toEqual(
    manifestOf(committed),
  )
  expect(committed.startsWith(`// sources: ${kernelsHash()}\n`)).toBe(true)
})

test('the cases of cuda/certify.sh are for this module', () => {
  const said = /"kernels":"(\w{64})"/.exec(Buffer.from(readBundle()).toString('latin1'))?.[1]
  expect(said, 'run `npm run build:cuda-certify`').toBe(manifestOf(committed).module)
})

/** A bundle of two cases, with this digit in them, for a module. */
function smallBundle(module: string, digit: number): Promise<Uint8Array> {
  const program = new ProgramWriter()
  program.line('case', digit)
  program.store('f32', Float32Array.of(digit, 1, 2))
  return encodeBundle(program, module)
}

/** The large part of a bundle changes with its cases alone, the small one with whatever the cases are for. */
async function dataChangesWithCasesOnly(write: typeof writeBundle): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), 'shadowllm-bundle-'))
  try {
    const { head, data } = partsIn(folder)
    const partsOf = async (module: string, digit: number): Promise<readonly [Buffer, Buffer, number]> => {
      const bundle = await smallBundle(module, digit)
      write(bundle, folder)
      expect(Buffer.from(readBundle(folder)).equals(bundle)).toBe(true)
      return [readFileSync(head), readFileSync(data), statSync(data).mtimeMs]
    }
    await partsOf('a module', 1)
    // As another zlib might have compressed it: what is inside decides.
    utimesSync(data, 1, 1)
    const [firstHead, firstData, firstTime] = await partsOf('a module', 1)
    const [otherHead, otherData, otherTime] = await partsOf('another module', 1)
    expect(otherHead.equals(firstHead)).toBe(false)
    expect([otherData.equals(firstData), otherTime, firstTime]).toEqual([true, 1000, 1000])
    const [, changed] = await partsOf('another module', 2)
    expect(changed.equals(firstData)).toBe(false)
  } finally {
    rmSync(folder, { recursive: true })
  }
}

test('the committed cases change only where a case does: the module they are for stands in the head', async () => {
  await dataChangesWithCasesOnly(writeBundle)
  expect(statSync(partsIn().head).size).toBeLessThan(2000)
})

test('a mutant that compresses equal cases again is killed', async () => {
  const again: typeof writeBundle = (bundle, folder) => {
    rmSync(partsIn(folder).data, { force: true })
    writeBundle(bundle, folder)
  }
  await expect(dataChangesWithCasesOnly(again)).rejects.toThrow()
})

test('a changed digit in a kernel is found; one in the emulator does not concern the module', () => {
  const plant = { file: 'shared/float32.cuh', from: '8388608', to: '8388609' }
  expect(kernelsHash(readSources(plant))).not.toBe(kernelsHash())
  const emulators = { file: 'emulator/fiber.cpp', from: '256 * 1024', to: '128 * 1024' }
  expect(kernelsHash(readSources(emulators))).toBe(kernelsHash())
  expect(hashOf(readSources(emulators))).not.toBe(hashOf(readSources()))
})

test('a file of kernels has the name of the file that defines its ops', () => {
  const files = [...readSources().keys()].filter((name) => /^(fast\/)?\w+\.cu$/.test(name))
  const named = files.filter((name) => name !== 'kernels.cu').map((name) => name.replace('fast/', ''))
  expect(named.length).toBeGreaterThan(30)
  const definitions = new Set(readdirSync(`${root}src/ops`))
  expect(named.filter((name) => !definitions.has(name.replace('.cu', '.ts')))).toEqual([])
})

test('a planted bug that matches nowhere, or twice, is refused', () => {
  expect(() => readSources({ file: 'add.cu', from: 'sub(', to: '' })).toThrow('expected "sub(" once')
  expect(() => readSources({ file: 'activations.cu', from: 'size_t', to: '' })).toThrow(
    'expected "size_t" once',
  )
  expect(() => readSources({ file: 'none.cu', from: '', to: '' })).toThrow('expected a source of this name')
})

/** Every op of the catalogue has a kernel that takes what its row lists, some a fast one too, and there are no others. */
function kernelsAreTheOps(module: string): void {
  const typed = (set: string, names: readonly KernelName[]): [string, string[]][] =>
    names.map((name) => [`${name}_${set}`, typesOf(kernels[name])])
  const expected = [...typed('exact', kernelNames), ...typed('fast', fastOps)]
  expect(kernelsOf(module)).toEqual(Object.fromEntries(expected))
}

/**
 * Nothing is approximate or flushed to zero, and no sum depends on who comes first; nothing is fused but in the fast
 * kernels.
 */
function arithmeticIsExact(module: string): void {
  expect(module).toMatch(/\badd\.rn\.f32/)
  expect(module).not.toMatch(/\.approx|\.ftz|\.f64|\b(atom|red)\./)
  const [before, ...kernels] = module.split('.visible .entry ')
  const exact = kernels.filter((text) => !/^\w+_fast\(/.test(text))
  expect(exact).toHaveLength(kernelNames.length)
  for (const text of [before, ...exact]) expect(text).not.toMatch(/\b(fma|mad)\.\S*f32/)
}

test('every op has a kernel with the parameters of its row, some a fast one too, and there are no others', () => {
  kernelsAreTheOps(committed)
  expect(() => kernelsAreTheOps(committed.replace('.entry add_exact(', '.entry sub_exact('))).toThrow()
  const scalar = '.param .f32 adamw_step_exact_param_4'
  expect(() => kernelsAreTheOps(committed.replace(scalar, scalar.replace('f32', 'u32')))).toThrow()
})

test('no instruction is approximate or flushes to zero, and only fast kernels fuse', () => {
  arithmeticIsExact(committed)
  const into = (kernel: string, line: string): string =>
    committed.replace(new RegExp(`\\.entry ${kernel}\\([^{]*{\n`), (start) => `${start}\t${line} \t%f1;\n`)
  arithmeticIsExact(into('linear_fast', 'fma.rn.f32'))
  expect(() => arithmeticIsExact(into('linear_exact', 'fma.rn.f32'))).toThrow()
  for (const other of ['div.approx.f32', 'add.rn.ftz.f32', 'cvt.f64.f32', 'atom.global.add.f32'])
    for (const kernel of ['linear_exact', 'linear_fast'])
      expect(() => arithmeticIsExact(into(kernel, other)), `${other} in ${kernel}`).toThrow()
})

test('it targets compute capability 8.0 and contains no path of the build machine', () => {
  expect(committed).toMatch(/^\.version 7\.0\n\.target sm_80\n/m)
  expect(committed).not.toContain(root)
  expect(committed).not.toMatch(/\.file|\.loc|\/(home|tmp|usr|work)\//)
})

test('the output of ptxas is parsed, spills included', () => {
  const text = `ptxas info    : Compiling entry function 'add_exact' for 'sm_80'
ptxas info    : Function properties for add_exact
    16 bytes stack frame, 8 bytes spill stores, 4 bytes spill loads
ptxas info    : Used 32 registers, used 1 barriers, 1040 bytes smem, 392 bytes cmem[0]`
  expect(parseUsage(text)).toEqual([
    { kernel: 'add_exact', registers: 32, shared: 1040, stack: 16, spilled: 12 },
  ])
})
