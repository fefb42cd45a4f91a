/**
 * The wide build beside the one that is used without it: a kernel is tried at its first call, wrong kernels are refused by name,
 * and a model writes the same tokens with either build, from the same bits.
 *
 * Tests src/backends/wasm/wide_cases.ts and src/platform/compiler_flags.ts.
 */
import { spawnSync } from 'node:child_process'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import fc from 'fast-check'
import { afterEach, describe, expect, test } from 'vitest'
import { startAlone } from '../../../src/backends/wasm/engine.ts'
import { withSharedMemory } from '../../../src/backends/wasm/shared_import.ts'
import { startThreaded } from '../../../src/backends/wasm/threaded_engine.ts'
import { loadWide, WasmBackend } from '../../../src/backends/wasm/wasm_backend.ts'
import { WideTrial } from '../../../src/backends/wasm/wide_trial.ts'
import { families, makeConfig } from '../../../src/engine/config.ts'
import { initialWeights } from '../../../src/engine/initial_weights.ts'
import { LanguageModel } from '../../../src/engine/language_model.ts'
import { storages } from '../../../src/engine/storages/index.ts'
import {
  allowJoining,
  canJoinVectors,
  mayJoinVectors,
  whileOptimizing,
} from '../../../src/platform/platform.ts'
import { memorySource } from '../../../src/tensor/memory_source.ts'
import { sameBits } from '../../../src/verify/compare.ts'
import { checkOn, kills, lawForAll, stateLaw } from '../../harness/seed.ts'
import { root } from '../../../scripts/sources.ts'
import { builds, readCommitted } from './compile.ts'

const reach = fileURLToPath(new URL('./wide_reach.ts', import.meta.url))

const [plain, wide, other] = await Promise.all(
  (['bytes', 'wide', 'relaxed'] as const).map(
    async (build) => new WebAssembly.Module(await readCommitted(build)),
  ),
)

afterEach(() => allowJoining(false))

describe.skipIf(!canJoinVectors())('a trial', () => {
  test('refuses a build with other bits by the name of a kernel, which a kernel that passed before is refused with', () => {
    const trial = new WideTrial(plain, other, false)
    expect(trial.isUsed('linear_backward_bias')).toBe(true)
    expect(trial.isUsed('attention')).toBe(false)
    expect(trial.refusal).toBe('attention: other bits than with vectors of 16 bytes')
    expect(trial.isUsed('linear_backward_bias')).toBe(false)
    expect(trial.tryAll()).toBe(trial.refusal)
  })

  test('finds no other bits in the committed build, over a memory of one thread or of several', async () => {
    const [one, two] = (['bytes', 'wide'] as const).map(async (build) =>
      WebAssembly.compile(withSharedMemory(await readCommitted(build)) as BufferSource),
    )
    // How fast it is here is not judged.
    for (const trial of [new WideTrial(plain, wide, false), new WideTrial(await one, await two, true)])
      expect(trial.tryAll() ?? '').not.toContain('other bits')
  })

  test('compiles all that calls of a kernel reach, so that no part of it is left to be compiled without joined vectors', () => {
    const files = (['bytes', 'wide'] as const).map((build) => join(root, 'src/backends/wasm', builds[build]))
    const args = ['--conditions=@shadowllm/source', '--trace-wasm-compilation-times', reach, ...files]
    const { status, stdout, stderr } = spawnSync(process.execPath, args, {
      encoding: 'utf8',
      maxBuffer: 1 << 28,
    })
    expect(status, stderr).toBe(0)
    const modules = new Map<string, string[]>()
    for (const [, module, compiler] of stdout.matchAll(/^Compiled function (0x\w+)#\d+ using (\w+)/gm))
      modules.set(module, [...(modules.get(module) ?? []), compiler])
    // Node's own modules and the plain build begin with the fast compiler.
    const optimised = [...modules.values()].filter((compilers) => !compilers.includes('Liftoff'))
    expect(optimised.map(({ length }) => length > 50)).toEqual([true])
  })

  test('has no say in kernels that have no wide tiles', () =>
    expect(new WideTrial(plain, other, false).isUsed('rms_norm')).toBe(false))

  test('refuses a build that is no faster', () => {
    new WideTrial(plain, wide, false).tryAll()
    // Compiled with joined vectors by now.
    expect(new WideTrial(wide, plain, false).tryAll()).toMatch(
      /^linear: no faster than with vectors of 16 bytes \(/,
    )
  })

  test('gives what the work under a flag gives, or throws what that throws', () => {
    expect(whileOptimizing(true, () => 7)).toBe(7)
    expect(() =>
      whileOptimizing(false, () => {
        throw new RangeError('within')
      }),
    ).toThrow('within')
  })
})

/** A trial that trusts every kernel. */
class Trusting extends WideTrial {
  override isUsed(): boolean {
    return true
  }
}

describe.skipIf(!canJoinVectors())('a model', () => {
  const writesTheSame = lawForAll(
    'writes the same tokens with the wide build and without it, from the same bits, in every storage and family',
    {
      family: fc.constantFrom(...families),
      storage: fc.constantFrom(...storages),
      seed: fc.nat(),
      prompt: fc.array(fc.nat({ max: 46 }), { minLength: 1, maxLength: 24 }),
    },
    async (trial: WideTrial, { family, storage, seed, prompt }) => {
      const sizes = { layers: 2, width: 48, heads: 3, neurons: 70, vocabulary: 47, positions: 40 }
      const config = makeConfig({ ...sizes, family })
      const write = async (backend: WasmBackend): Promise<Float32Array[]> => {
        const weights = memorySource(initialWeights(config, { seed, deviation: 0.3, biasDeviation: 0.1 }))
        const model = await LanguageModel.load(config, weights, backend, { storage })
        const sequence = model.begin()
        const all = [sequence.feed(Int32Array.from(prompt), 'last')]
        for (let step = 0; step < 4; step++) {
          const logits = all[step]
          all.push(sequence.feed(Int32Array.of(logits.indexOf(Math.max(...logits))), 'last'))
        }
        sequence.dispose()
        model.dispose()
        return all
      }
      const expected = await write(new WasmBackend(plain))
      const found = await write(new WasmBackend(plain, (module) => startAlone(module, trial)))
      expected.forEach((logits, step) => sameBits(`logits ${step}`, found[step], logits))
    },
    { runs: 15 },
  )
  stateLaw(writesTheSame, new WideTrial(plain, wide, false))
  test('one that has other bits and is not used: the same law holds', () =>
    checkOn(writesTheSame, new WideTrial(plain, other, false)))
  test('one that has other bits and is used: killed', () =>
    kills(writesTheSame, new Trusting(plain, other, false)))
})

describe('a backend', () => {
  test('has no wide build unless that is allowed, and none where vectors cannot be joined', async () => {
    expect(mayJoinVectors()).toBe(false)
    expect(loadWide(false)).toBe(null)
    allowJoining(true)
    expect(mayJoinVectors()).toBe(canJoinVectors())
    expect(await loadWide(false)).toEqual(canJoinVectors() ? expect.any(WideTrial) : null)
  })

  test.skipIf(!canJoinVectors())(
    'of several threads gives its parts the kernels that passed the trial',
    async () => {
      const shared = await Promise.all(
        (['bytes', 'wide'] as const).map(async (build) =>
          WebAssembly.compile(withSharedMemory(await readCommitted(build)) as BufferSource),
        ),
      )
      const trial = new Trusting(shared[0], shared[1], true)
      const start = (module: WebAssembly.Module) =>
        startThreaded(module, { threads: 2, sharing: 'always', cutsSmall: true, wide: trial })
      const backends = [new WasmBackend(shared[0], start), new WasmBackend(plain)]
      const [found, expected] = backends.map((backend) => {
        const numbers = (length: number): Float32Array =>
          Float32Array.from({ length }, (_, i) => Math.sin(i + 1))
        const [y, x, w] = [
          backend.allocate('f32', [5, 100]),
          backend.upload(numbers(5 * 90), [5, 90]),
          backend.upload(numbers(100 * 90), [100, 90]),
        ]
        for (let time = 0; time < 50; time++) backend.ops.linear(y, x, w, null, null)
        return backend.readF32(y)
      })
      for (const backend of backends) backend.dispose()
      sameBits('y', found, expected)
    },
  )
})
