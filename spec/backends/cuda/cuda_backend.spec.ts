/**
 * The CUDA backends without a device: their errors, and how kernels are launched.
 */
import nodeModule from 'node:module'
import { join } from 'node:path'
import { expect, test, vi } from 'vitest'
import { CudaBackend } from '../../../src/backends/cuda/cuda_backend.ts'
import { Driver } from '../../../src/backends/cuda/driver.ts'
import { kernelIn, launchOf, MAX_DYNAMIC_SHARED } from '../../../src/backends/cuda/launch.ts'
import { backendNames } from '../../../src/backends/backend.ts'
import { createBackend } from '../../../src/backends/select.ts'
import { MAX_CONTEXT } from '../../../src/ops/attention.ts'
import { kernelNames, kernels } from '../../../src/ops/catalog.ts'
import { MissingError } from '../../../src/tensor/errors.ts'
import { temporaryFolder } from '../../harness/temporary_folder.ts'

const folder = temporaryFolder()

test('without a driver the backend is missing, with exit code 4 and one line', async () => {
  const nowhere = Driver.open(join(folder, 'none.so'), 'backend cuda: expected the NVIDIA driver')
  await expect(nowhere).rejects.toMatchObject({
    code: 'CUDA_DRIVER',
    exitCode: 4,
    message: expect.stringMatching(/^backend cuda: expected the NVIDIA driver, got none: .+$/),
  })
})

test('without the package that opens libraries it is the one thing that is missing', async () => {
  const resolves = vi.spyOn(nodeModule, 'createRequire').mockReturnValue((() => {
    throw Object.assign(new Error('none'), { code: 'MODULE_NOT_FOUND' })
  }) as unknown as NodeJS.Require)
  const nowhere = Driver.open(join(folder, 'none.so'), 'backend cuda: expected the NVIDIA driver')
  await expect(nowhere).rejects.toThrow(
    /^backend cuda: expected the NVIDIA driver, got none that can be opened: the package koffi is not installed \("npm install koffi"\)$/,
  )
  resolves.mockRestore()
})

test('a library that is no driver is refused', async () => {
  const other = Driver.open('libc.so.6', 'backend cuda: expected the NVIDIA driver')
  await expect(other).rejects.toMatchObject({ code: 'CUDA_DRIVER', exitCode: 4 })
})

test('`cuda` works on this machine, or names what is missing', async () => {
  const backend = await createBackend('cuda').catch((error: unknown) => error)
  if (backend instanceof CudaBackend) backend.dispose()
  else {
    expect(backend).toBeInstanceOf(MissingError)
    expect((backend as MissingError).code).toMatch(/^CUDA_(DRIVER|DEVICE)$/)
  }
})

test.each(backendNames.filter((name) => name.startsWith('cuda')))('%s refuses threads', async (name) => {
  await expect(createBackend(name, { threads: 2 })).rejects.toMatchObject({ code: 'THREADS', exitCode: 2 })
})

/** Whole warps, at most 256 threads, and no more shared memory than is asked for. */
function launchesAreSound(rules: typeof launchOf): void {
  for (const name of kernelNames)
    for (const size of [0, 1, 31, 257, MAX_CONTEXT]) {
      const most = new Map(
        kernels[name].params.map((param) => [param.name, param.kind === 'size' ? param.most : 0]),
      )
      const { blocks, threads, shared } = rules(name)((letter) => Math.min(size, most.get(letter) as number))
      expect(Number.isInteger(blocks) && blocks >= 0, `${name}: blocks`).toBe(true)
      expect(threads % 32 === 0 && threads > 0 && threads <= 256, `${name}: threads`).toBe(true)
      expect(shared, `${name}: shared`).toBeLessThanOrEqual(MAX_DYNAMIC_SHARED)
    }
}

test('every op is launched in whole warps, with no more shared memory than may be asked for', () => {
  launchesAreSound(launchOf)
  launchesAreSound((name) => kernelIn('fast', name).launch)
})

test.each([
  { broken: 'blocks', by: { blocks: 1.5 } },
  { broken: 'threads', by: { threads: 48 } },
  { broken: 'shared', by: { shared: MAX_DYNAMIC_SHARED + 4 } },
])('a mutant with other $broken is found', ({ broken, by }) => {
  const mutant: typeof launchOf = (name) => (size) => ({ ...launchOf(name)(size), ...by })
  expect(() => launchesAreSound(mutant)).toThrow(`: ${broken}`)
})

test('a backend without a device has no clock', async () => {
  for (const name of ['reference', 'wasm'] as const) {
    const backend = await createBackend(name)
    expect(backend.deviceTime).toBeUndefined()
    backend.dispose()
  }
})
