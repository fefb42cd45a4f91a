/**
 * Emulators for laws: built with a bug planted in the kernels or in the emulator itself, and copies that count what is
 * held and fail where they are told to.
 */
import { copyFileSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { buildEmulator, emulatorPath, type EmulatorBuild } from '../../../scripts/cuda/emulator.ts'
import { CudaBackend, type CudaName } from '../../../src/backends/cuda/cuda_backend.ts'
import { Driver, type CallName } from '../../../src/backends/cuda/driver.ts'
import { openLibrary } from '../../../src/platform/platform.ts'

/**
 * Builds an emulator, opens it as the backend of the set of its kernels, lends that, and removes everything.
 * @throws what opening or `work` throws
 */
export async function withEmulator(
  build: Omit<EmulatorBuild, 'output'>,
  work: (backend: CudaBackend) => void | Promise<void>,
): Promise<void> {
  const name: CudaName = build.part?.set === 'fast' ? 'cuda-fast-emulated' : 'cuda-emulated'
  const folder = mkdtempSync(join(tmpdir(), 'shadowllm-emulator-'))
  try {
    const output = join(folder, 'emulator.so')
    await buildEmulator({ ...build, output })
    const backend = await CudaBackend.on(await Driver.open(output, 'expected an emulator'), name)
    try {
      await work(backend)
    } finally {
      backend.dispose()
    }
  } finally {
    rmSync(folder, { recursive: true })
  }
}

/** What an emulator says how much it holds of, in its order. */
const held = ['contexts', 'modules', 'allocations', 'streams', 'events', 'graphs', 'executables'] as const

/** How many of each are held. */
export type Held = Readonly<Record<(typeof held)[number], number>>

/** What is held of nothing. */
export const nothing = Object.fromEntries(held.map((kind) => [kind, 0])) as Held

/** An emulator that nobody else in the process computes on. */
export interface OwnEmulator {
  /** Its driver, opened anew. */
  driver(): Promise<Driver>
  held(): Held
  /** Calls that were made so far. */
  calls(): number
  /** Fails the call after so many others, once, with a CUresult. */
  failAfter(others: number, result: number): void
}

/**
 * Lends a copy of the emulator. A broken host may not wait for a copy, and the emulator makes it later: so the arrays of
 * all copies are kept until the end.
 */
export async function withOwnEmulator(work: (emulator: OwnEmulator) => void | Promise<void>): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), 'shadowllm-emulator-'))
  const copied: unknown[] = []
  try {
    const path = join(folder, 'own.so')
    copyFileSync(process.env.SHADOWLLM_EMULATOR ?? emulatorPath(), path)
    const { functions } = openLibrary(path, {
      emulator_calls: [],
      emulator_fail_after: ['u32', 'i32'],
      emulator_held: ['i32'],
    })
    await work({
      async driver() {
        const driver = await Driver.open(path, 'expected the emulator')
        for (const name of ['cuMemcpyHtoDAsync_v2', 'cuMemcpyDtoHAsync_v2'] as const)
          meddle(driver, name, (args, proceed) => {
            copied.push(args)
            proceed(...args)
          })
        return driver
      },
      held: () =>
        Object.fromEntries(held.map((kind, i) => [kind, functions.emulator_held(i)])) as unknown as Held,
      calls: () => functions.emulator_calls(),
      failAfter: (others, result) => void functions.emulator_fail_after(others, result),
    })
  } finally {
    copied.length = 0
    rmSync(folder, { recursive: true })
  }
}

/** Puts `change` in the place of one call of a driver; it is given the arguments, and the call as it was. */
export function meddle(
  driver: Driver,
  name: CallName,
  change: (args: unknown[], proceed: (...args: unknown[]) => void) => void,
): Driver {
  const call = driver.call.bind(driver) as (name: CallName, ...args: unknown[]) => void
  driver.call = ((called: CallName, ...args: unknown[]) => {
    if (called === name) change(args, (...others) => call(name, ...others))
    else call(called, ...args)
  }) as Driver['call']
  return driver
}
