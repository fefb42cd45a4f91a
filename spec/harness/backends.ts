/**
 * The backends that tests run on.
 *
 * In the quick tier these are `reference` and `wasm`; `spec/backends/others.spec.ts` checks the others there. In the full
 * tier they are all that this runtime can start, and in the tier rest all but those two; laws are stated over `reference` again
 * there, since the quick tier tries only a third of their cases on it.
 *
 * `wasm x2` is wasm on two threads that share every call that can be split, of
 * any size; `wasm without relaxed bytes` is the module that `wasm` loads where a runtime has no relaxed SIMD. If g++ is
 * installed, the CUDA emulator is built before the first test of the full tier (run.ts).
 * `cuda-fast-emulated` differs from `cuda-emulated` in few ops: it is tested in the sections of those ops. `webgpu` is judged by the
 * full tier where the runtime finds an adapter: Mesa's llvmpipe is one, and as slow as the emulator.
 *
 * A backend that is omitted, or that this runtime cannot start, is shown as skipped with the reason. SHADOWLLM_BACKENDS lists
 * required backends, separated by commas: with `reference,wasm` a missing wasm fails. A backend is started once for all files
 * of a worker. After each test it must hold as many buffers as before.
 */
import { afterEach, describe, expect, test } from 'vitest'
import { backendNames, type Backend, type BackendName } from '../../src/backends/backend.ts'
import { CudaBackend, type CudaName } from '../../src/backends/cuda/cuda_backend.ts'
import { Driver } from '../../src/backends/cuda/driver.ts'
import { createBackend } from '../../src/backends/select.ts'
import { WasmBackend } from '../../src/backends/wasm/wasm_backend.ts'
import { MissingError } from '../../src/tensor/errors.ts'
import { sectionOf, readEmulated } from './emulated.ts'
import { casesAtTier, isQuick, isRest } from './tier.ts'

/** Another emulator than the one `npm run build:cuda-emulator` makes: the one with the address sanitizer. */
const emulatorUnderTest = process.env.SHADOWLLM_EMULATOR ?? null

const emulatedBy = async (path: string, name: CudaName): Promise<Backend> =>
  CudaBackend.on(await Driver.open(path, `backend ${name}: expected an emulator`), name)

const makers: Readonly<Record<string, () => Promise<Backend>>> = {
  ...Object.fromEntries(backendNames.map((name) => [name, () => createBackend(name)])),
  ...(emulatorUnderTest === null
    ? {}
    : {
        'cuda-emulated': () => emulatedBy(emulatorUnderTest, 'cuda-emulated'),
        'cuda-fast-emulated': () => emulatedBy(emulatorUnderTest, 'cuda-fast-emulated'),
      }),
  'wasm without relaxed bytes': () => WasmBackend.create({ relaxedBytes: false }),
  'wasm x2': () => WasmBackend.create({ threads: 2, sharing: 'always', cutsSmall: true }),
}

interface UnderTest {
  readonly name: string
  readonly backend: Backend | null
  /** Why there is none. */
  readonly reason: string
}

const required = (process.env.SHADOWLLM_BACKENDS ?? '').split(',').filter((name) => name !== '')
for (const name of required)
  if (!Object.hasOwn(makers, name))
    throw new RangeError(
      `SHADOWLLM_BACKENDS: expected names from ${Object.keys(makers).join(', ')}, got ${name}`,
    )

async function start(name: string): Promise<UnderTest> {
  try {
    return { name, backend: await makers[name](), reason: '' }
  } catch (error) {
    if (!(error instanceof MissingError) || required.includes(name)) throw error
    return { name, backend: null, reason: error.message }
  }
}

const isInQuick = (name: string): boolean => name === 'reference' || name === 'wasm'
const isInTier = (name: string): boolean => (isInQuick(name) ? !isRest : !isQuick)
const names = Object.keys(makers)

/** The backends of this tier. They are never disposed: they end with the process. */
const underTest: readonly UnderTest[] = await Promise.all(names.filter(isInTier).map(start))

/** The reference in the tier rest, for laws alone. */
const referenceInRest: readonly UnderTest[] = isRest ? [await start('reference')] : []

/** A backend of this tier with an empty memory. It shares the device: opening one takes a WebGPU backend a third of a second. */
export async function openBackend(name: BackendName): Promise<Backend> {
  const here = [...underTest, ...referenceInRest].find((one) => one.name === name)?.backend
  return here?.sibling() ?? createBackend(name)
}

/** Shows those backends or builds as skipped that this tier does not judge. */
function skipOutsideTier(these: readonly string[]): void {
  for (const name of these.filter((name) => !isInTier(name)))
    test.skip(`${name} is judged by ${isInQuick(name) ? 'npm test' : 'npm run test:full'}`, () => {})
}

/** The backends or builds that this tier judges, of those given. The others are visible skips. */
export function inTier<Name extends string>(these: readonly Name[]): Name[] {
  skipOutsideTier(these)
  return these.filter(isInTier)
}

/** The section of the file under test, and whether SHADOWLLM_EMULATE names it. */
function sectionHere(): { section: string; isEmulated: boolean } {
  const section = sectionOf(expect.getState().testPath ?? '')
  return { section, isEmulated: readEmulated(process.env.SHADOWLLM_EMULATE).includes(section) }
}

/** Declares tests for a backend. */
type DeclareOne = (backend: Backend) => void

/** Declares tests for a backend; of a list, each for all backends before the next. */
export type Declare = DeclareOne | readonly DeclareOne[]

/** Declares tests for some backends. */
export type Over = (declare: Declare, options?: OverOptions) => void

/** How tests are declared for some backends. */
export interface OverOptions {
  /** Whether they are laws, of which the reference tries some cases in the tier rest (shareOfCases). */
  readonly areLaws?: boolean
}

/**
 * The share of a law's cases that are tried on a backend. The reference is the definition, and slow: the quick tier tries a third
 * on it, and the tier rest two thirds.
 */
export function shareOfCases({ name }: Backend): number {
  return name === 'reference' ? casesAtTier(1, 3) / 3 : 1
}

/** Declares the tests without the reference: what takes long, and judges kernels by the reference. */
export function overKernels(declare: Declare): void {
  stateWithout({ ...haveTheirOwn, reference: 'is what kernels are judged by' }, declare)
}

/** Declares the tests once for every backend of the tier. */
export function overEveryBackend(declare: Declare, options?: OverOptions): void {
  stateWithout({}, declare, options)
}

/** Fast kernels differ from the exact ones in few ops. */
const haveTheirOwn: Readonly<Record<string, string>> = {
  'cuda-fast-emulated': 'has tests of its own',
  'webgpu-fast': 'has tests of its own',
}
/** What runs on the processor, thread by thread. */
const slow = ['cuda-emulated', 'cuda-fast-emulated', 'webgpu', 'webgpu-fast']

/** The same without the emulated fast kernels: most tests would repeat those of the exact kernels. */
export function overBackends(declare: Declare, options?: OverOptions): void {
  stateWithout(haveTheirOwn, declare, options)
}

/**
 * The same without the emulator and WebGPU, for tests that would take minutes there. These are to be tested on ops and small models.
 */
export function overQuickBackends(declare: Declare, options?: OverOptions): void {
  stateWithout(
    Object.fromEntries(slow.map((name) => [name, 'is too slow for this section'])),
    declare,
    options,
  )
}

/** Declares tests for the backends that the quick tier omits elsewhere and that need no compiler, in that tier alone. */
export async function overOtherBackends(declare: Declare): Promise<void> {
  if (!isQuick) return test.skip('the full tier states every law over each of them', () => {})
  const others = names.filter((name) => !isInQuick(name) && !slow.includes(name))
  stateOver(await Promise.all(others.map(start)), declare)
}

/** The same over those alone that run the exact CUDA kernels. */
export function overCudaBackends(declare: Declare): void {
  stateOver(
    underTest.filter(({ name }) => /^cuda(-emulated)?$/.test(name)),
    declare,
  )
}

/** The same over those alone that run the fast CUDA kernels. */
export function overFastBackends(declare: Declare): void {
  stateOver(
    underTest.filter(({ name }) => name.startsWith('cuda-fast')),
    declare,
  )
}

/** The same over the fast kernels of WebGPU. */
export function overFastWebGpu(declare: Declare): void {
  stateOver(
    underTest.filter(({ name }) => name === 'webgpu-fast'),
    declare,
  )
}

/**
 * Declares tests without some backends, which are shown as skipped with a reason; with all of them if SHADOWLLM_EMULATE
 * names the section.
 */
function stateWithout(
  reasons: Readonly<Record<string, string>>,
  declare: Declare,
  { areLaws = false }: OverOptions = {},
): void {
  skipOutsideTier(names.filter((name) => !(areLaws && isRest && name === 'reference')))
  const here = sectionHere()
  const isLeftOut = ({ name }: UnderTest): boolean => Object.hasOwn(reasons, name) && !here.isEmulated
  for (const { name } of underTest.filter(isLeftOut))
    test.skip(`${name} ${reasons[name]}: SHADOWLLM_EMULATE=${here.section} runs it`, () => {})
  const others = underTest.filter((one) => !isLeftOut(one))
  stateOver(areLaws ? [...referenceInRest, ...others] : others, declare)
}

function stateOver(backends: readonly UnderTest[], declare: Declare): void {
  for (const { name, backend, reason } of backends)
    if (backend === null) test.skip(`${name} is not here: ${reason}`, () => {})
  for (const declareOne of [declare].flat())
    for (const { name, backend } of backends) {
      if (backend === null) continue
      describe(name, () => {
        afterEach(() => expect(backend.liveBuffers, 'buffers left behind').toBe(0))
        declareOne(backend)
      })
    }
}
