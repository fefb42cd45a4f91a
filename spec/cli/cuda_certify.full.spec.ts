/**
 * cuda/certify, the test of a GPU that needs only its driver, run on the emulator by cuda/certify.sh: it certifies right kernels
 * and names wrong ones.
 */
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { encodeBundle, makeBundle, readBundle, seal } from '../../scripts/cuda/certify/bundle.ts'
import { addCases } from '../../scripts/cuda/certify/cases.ts'
import { addModel } from '../../scripts/cuda/certify/model.ts'
import { ProgramWriter } from '../../scripts/cuda/certify/program.ts'
import { kernelSets } from '../../scripts/cuda/certify/sets.ts'
import { buildEmulator, whyNoEmulator, type EmulatorBuild } from '../../scripts/cuda/emulator.ts'
import { modulePath } from '../../scripts/cuda/module.ts'
import { root } from '../../scripts/sources.ts'
import { kernelNames, kernels, type KernelName } from '../../src/ops/catalog.ts'
import { bundleOf, compileLibrary, plainCublas, runProgram, workshop, type Ended } from './cuda_certify.ts'
import { runCli } from './run_cli.ts'

const missing = await whyNoEmulator()
const { folder, program, fresh, fileOf, certify } = workshop()

/** Runs cuda/certify.sh on the emulator into one folder. */
const output = join(folder, 'certificate')
const words = ['--emulated', '--without-node', '--program', program, '--output', output]
const runScript = (): Ended => runProgram(join(root, 'cuda/certify.sh'), words)

/** How the first run of the script ended. The tests read what it left. */
let ended: Ended | null = null
const firstRun = (): Ended => (ended ??= runScript())

/** What the first run left in a file. */
function left(name: string): string {
  firstRun()
  return readFileSync(join(output, name), 'utf8')
}

test('the bundle is what the committed sources make, byte for byte', async () => {
  const made = Buffer.from(await makeBundle()).equals(readBundle())
  expect(made, 'run `npm run build:cuda-certify` and commit the result').toBe(true)
})

describe.skipIf(missing !== null)(
  `compiled by g++${missing === null ? '' : `, which is not here: ${missing}`}`,
  () => {
    test('the script runs every step on the emulator, and labels it', () => {
      const { code, stdout, stderr } = firstRun()
      expect(stderr).toMatch(/^cuda-emulated \.\.\.\ncuda-emulated: passed, emulated$/m)
      expect(stderr).toMatch(
        /^shapes-cuda-fast-emulated \.\.\.\nshapes-cuda-fast-emulated: passed, emulated$/m,
      )
      expect(stdout).toMatch(/^emulated: no figure here is one of a GPU$/m)
      expect(stdout).toMatch(/^shapes-cuda-emulated +passed, emulated$/m)
      expect(code).toBe(0)
      expect(readdirSync(output)).toEqual(
        expect.arrayContaining(['cuda-emulated.json', 'shapes-cuda-emulated.json', 'summary.txt']),
      )
    })

    test('every op and the model have the bits of the definitions, and the certificate holds', async () => {
      const printed = left('cuda-emulated.txt')
      expect(printed).toMatch(/^cuda-emulated on emulated .*: no figure of it is one of a GPU\n/)
      expect(printed).toMatch(/\npassed, emulated\n$/)
      const said: unknown = JSON.parse(left('cuda-emulated.json'))
      const checks = ['tensors', 'masks', 'masked logits', 'greedy dense', 'greedy sparse']
      expect(said).toMatchObject({
        emulated: true,
        passed: true,
        device: expect.stringMatching(/^emulated/),
        provenance: { backend: 'cuda-emulated', runtime: 'cuda/certify' },
        model: { passed: true, checks: checks.map((name) => ({ name, passed: true })) },
      })
      const { ops } = said as { ops: { op: string; cases: number; compared: number; differing: number }[] }
      expect(ops.map(({ op }) => op)).toEqual(kernelNames)
      for (const { op, cases, compared, differing } of ops) {
        expect([cases, compared], op).toEqual([expect.any(Number), expect.any(Number)])
        expect(cases, op).toBeGreaterThan(10)
        expect(compared, op).toBeGreaterThan(10)
        expect(differing, op).toBe(0)
      }
      const verdict = await runCli(['parity', 'verify-certificate', join(output, 'cuda-emulated.json')])
      expect(verdict).toMatchObject({ code: 0, stderr: '' })
      const count = kernelNames.length
      expect(verdict.stdout).toMatch(new RegExp(`^covers +${count} of ${count} ops and a model$`, 'm'))
    })

    test('fast kernels are within the bounds of their rows', async () => {
      const said: unknown = JSON.parse(left('cuda-fast-emulated.json'))
      expect(said).toMatchObject({
        emulated: true,
        model: null,
        provenance: { backend: 'cuda-fast-emulated' },
      })
      const { ops } = said as { ops: { op: KernelName; owes: string; compared: number }[] }
      expect(ops.map(({ op }) => op)).toEqual(kernelSets[1].ops)
      for (const { op, owes, compared } of ops) {
        expect(owes, op).toBe(kernels[op].fast === null ? 'bits' : 'bound')
        expect(compared, op).toBeGreaterThan(10)
      }
      const file = join(output, 'cuda-fast-emulated.json')
      expect(await runCli(['parity', 'verify-certificate', file])).toMatchObject({ code: 0, stderr: '' })
    })

    test('shapes are timed in every mode, and the results of the modes are compared', () => {
      const said = JSON.parse(left('shapes-cuda-emulated.json')) as { rows: Record<string, unknown>[] }
      expect(said).toMatchObject({
        format: 'shadowllm-cuda-shapes 1',
        emulated: true,
        passed: true,
        clock: 'events',
      })
      const ways = said.rows.map(({ what, storage, way, sparsity }) =>
        [what, storage, way, sparsity].join(' '),
      )
      for (const what of ['fc1 f32', 'fc1 f16', 'fc2 f32', 'fc2 f16'])
        for (const way of ['dense 0', 'gather 0.5', 'pack 0.75', 'packed 0.5', 'packed 0.9'])
          expect(ways).toContain(`${what} ${way}`)
      expect(ways).toContain('attention f32 gather 0.5')
      for (const { way, shape, fault, compared, absent, milliseconds, graphMilliseconds } of said.rows) {
        expect([shape, fault]).toEqual(['tiny', null])
        if (way === 'packed') expect(compared).toBeGreaterThan(0)
        if (absent === null) expect(milliseconds).toMatchObject({ least: expect.any(Number), samples: 1 })
        else expect([way, absent]).toEqual(['cublas', 'cuBLAS: expected libcublas, got none'])
        expect(graphMilliseconds === null, String(way)).toBe(way === 'cublas')
      }
    })

    test('the script repeats no finished step, and makes a result again that is another than it left', () => {
      const { stdout } = firstRun()
      const again = runScript()
      expect(again.stderr).toMatch(/^cuda-emulated: there already\nshapes-cuda-emulated: there already$/m)
      expect(again.stdout).toBe(stdout)
      writeFileSync(join(output, 'shapes-cuda-emulated.json'), '{}')
      expect(runScript().stderr).toMatch(
        /^cuda-emulated: there already\nshapes-cuda-emulated \.\.\.\nshapes-cuda-emulated: passed, emulated\ncuda-fast-emulated: there already$/m,
      )
    })

    describe('cuBLAS', () => {
      /** The rows of cuBLAS. */
      async function cublasRows(source: string): Promise<Record<string, unknown>[]> {
        const library = await compileLibrary(fresh('-cublas'), source)
        const file = fresh('.json')
        const both = ['--shapes', file, '--certificate', fresh('.json'), '--ops', 'add']
        expect(certify(...both, '--cublas', library)).toMatchObject({ code: 0, stderr: '' })
        const { rows } = JSON.parse(readFileSync(file, 'utf8')) as { rows: Record<string, unknown>[] }
        return rows.filter(({ way }) => way === 'cublas')
      }

      test('computes the product that the kernels do, of matrices in either order', async () => {
        const rows = await cublasRows(plainCublas)
        expect(rows.map(({ what }) => what)).toEqual(['fc1', 'fc2'])
        for (const row of rows)
          expect(row).toMatchObject({ absent: null, fault: null, compared: expect.any(Number) })
      })

      test('is found wrong if a matrix is transposed', async () => {
        const rows = await cublasRows(plainCublas.replace('a[l + i * lda]', 'a[i + l * m]'))
        expect(rows.map(({ fault }) => fault)).toEqual([expect.stringMatching(/^number \d+: expected/), null])
      })
    })

    /** Runs some ops over an emulator in whose kernels a bug is planted. */
    async function withBug(build: Omit<EmulatorBuild, 'output'>, ...more: string[]): Promise<Ended> {
      const driver = fresh('.so')
      await buildEmulator({ ...build, output: driver })
      return certify('--driver', driver, '--certificate', fresh('.json'), ...more)
    }

    test.each([
      {
        bug: 'a query that sees one position less',
        plant: {
          file: 'attention.cu',
          from: 'seen_of(S - T + t + 1, W)',
          to: 'seen_of(S - T + t, W)',
        },
        op: 'attention',
        says: /^failed: attention: y\[\d+\] is \S+, expected \S+, at T=\d+,S=/m,
      },
      {
        bug: 'a sign of zero that is lost',
        plant: {
          file: 'activations.cu',
          from: 'y[n] = x[n] > 0 ? x[n] : 0',
          to: 'y[n] = x[n] > 0 ? x[n] : -0.0f',
        },
        op: 'relu',
        says: /^failed: relu: y\[\d+\] is -0, expected 0, at N=/m,
      },
      {
        bug: 'an input that is written',
        plant: {
          file: 'activations.cu',
          from: 'if (n < (size_t)N) y[n] = x[n] > 0 ? x[n] : 0;',
          to: 'if (n >= (size_t)N) return;\n  y[n] = x[n] > 0 ? x[n] : 0;\n  if (y != x) const_cast<float *>(x)[n] = 7;',
        },
        op: 'relu',
        says: /^failed: relu: x, N=\d+: expected its numbers untouched, got a change$/m,
      },
      {
        bug: 'a number more than there is room for',
        plant: {
          file: 'activations.cu',
          from: 'if (n < (size_t)N) y[n] = x',
          to: 'if (n <= (size_t)N) y[n] = x',
        },
        op: 'relu',
        says: /^failed: relu: [xy], N=\d+: expected what is behind it untouched, got a change$/m,
      },
      {
        bug: 'a second tile of inputs that is the first again, which small cases do not have',
        plant: {
          file: 'linear_i8.cu',
          from: 'round_to(steps, x[start + threadIdx.x])',
          to: 'round_to(steps, x[threadIdx.x])',
        },
        op: 'linear_i8',
        says: /^failed: linear_i8: y, T=1,O=3072,I=768,R=\d+: expected numbers of SHA-256 \w{12}\.\.\., got \w{12}\.\.\.$/m,
      },
      {
        bug: 'a barrier that only threads with work come to',
        plant: {
          file: 'shared/common.cuh',
          from: 'terms[thread] = term(start + thread);\n    __syncthreads();',
          to: '{ terms[thread] = term(start + thread); __syncthreads(); }',
        },
        unit: 'softmax.cu',
        op: 'softmax',
        says: /^failed: softmax: cuStreamSynchronize: expected CUDA_SUCCESS, got CUDA_ERROR_LAUNCH_FAILED/m,
      },
    ] as const)('$bug: found, and $op named', async ({ plant, op, says, ...more }) => {
      const { unit = plant.file } = more as { readonly unit?: string }
      const { code, stdout } = await withBug({ plant, part: { file: unit, ops: [op] } }, '--ops', op)
      expect(stdout).toMatch(says)
      expect(stdout).toMatch(new RegExp(`^FAIL +${op} `, 'm'))
      expect(code).toBe(1)
    })

    test('a model with a wrong result is found, even if its ops are right', async () => {
      const [exact] = kernelSets
      const written = new ProgramWriter()
      written.line('set', exact.ending, exact.backend, exact.emulated)
      addCases(written, exact, 'add')
      await addModel(written, exact)
      const bundle = await encodeBundle(written, readFileSync(modulePath, 'utf8'))
      const right = fileOf(bundle)
      expect(certify('--bundle', right, '--certificate', fresh('.json'))).toMatchObject({ code: 0 })
      // Another number is expected where greedy tokens are read: as if a kernel had given it.
      const text = Buffer.from(bundle).toString('latin1')
      const start = text.indexOf('part greedy-sparse')
      const line = /equal (@b\d+) (\d+) (\d+)\n/g
      line.lastIndex = start
      const found = line.exec(text) as RegExpExecArray
      const other = found[0].replace(/\d(?=\n)/, (digit) => String((Number(digit) + 1) % 10))
      const changed = text.slice(0, found.index) + other + text.slice(found.index + found[0].length)
      const file = fileOf(seal(Buffer.from(changed, 'latin1')))
      const { code, stdout } = certify('--bundle', file, '--certificate', fresh('.json'))
      expect(code).toBe(1)
      expect(stdout).toMatch(/^failed: the model's greedy-sparse: b\d+\[\d+\] is \S+, expected \S+$/m)
      expect(stdout).toMatch(/^ok +model greedy-dense/m)
    })

    test('our copies of declarations equal cuda.h, where it is installed', async (context) => {
      const header = ['/usr/local/cuda/include/cuda.h', '/opt/cuda/include/cuda.h'].find((path) =>
        existsSync(path),
      )
      if (header === undefined) return context.skip('no cuda.h here')
      const fields: readonly (readonly [string, string])[] = [
        ['function', 'func'],
        ['gridX', 'gridDimX'],
        ['blockX', 'blockDimX'],
        ['sharedBytes', 'sharedMemBytes'],
        ['parameters', 'kernelParams'],
        ['extra', 'extra'],
        ['kernel', 'kern'],
        ['context', 'ctx'],
      ]
      const same = (constant: string, theirs: string): string =>
        `static_assert((int)certify::${constant} == (int)${theirs}, "${constant}");\n`
      /** A check of both; `first` is what the first field is called there. */
      const source = (first: string): string =>
        `#include <cstddef>\n#include "${header}"\n#include "${root}cuda/certify/driver.hpp"\n` +
        fields
          .map(
            ([ours, theirs], i) =>
              `static_assert(offsetof(certify::KernelNode, ${ours}) == offsetof(CUDA_KERNEL_NODE_PARAMS_v2, ${i === 0 ? first : theirs}), "");\n`,
          )
          .join('') +
        'static_assert(sizeof(certify::KernelNode) == sizeof(CUDA_KERNEL_NODE_PARAMS_v2), "");\n' +
        same('OUT_OF_MEMORY', 'CUDA_ERROR_OUT_OF_MEMORY') +
        same('NO_DEVICE', 'CUDA_ERROR_NO_DEVICE') +
        same('DYNAMIC_SHARED_BYTES', 'CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES') +
        same('NON_BLOCKING', 'CU_STREAM_NON_BLOCKING') +
        same('CAPABILITY_MAJOR', 'CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR') +
        same('CAPABILITY_MINOR', 'CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR')
      await compileLibrary(fresh('-layout'), source('func'))
      await expect(compileLibrary(fresh('-layout'), source('kern'))).rejects.toThrow(
        'static assertion failed',
      )
    })

    describe('a bound', () => {
      /** One call of add whose third number is expected to be `off` more than it is. */
      const oneCall =
        (off: number, allowed: number) =>
        (written: ProgramWriter): void => {
          written.line('set', 'exact', 'cuda', 'cuda-emulated')
          written.line('op', 'add', 'bound')
          written.line('case', 0, 'N=4')
          const values = (...numbers: number[]): Float32Array => Float32Array.from(numbers)
          const numbers = (name: string, given: Float32Array): void =>
            written.buffer({ name, dtype: 'f32', length: 4, fill: { kind: 'data', numbers: given } })
          written.buffer({ name: 'y', dtype: 'f32', length: 4, fill: { kind: 'noise' } })
          numbers('a', values(1, 2, 3, NaN))
          numbers('b', values(1, 1, 1, 1))
          const args = ['y', 'a', 'b'].map((buffer) => ({ buffer, start: 0 }))
          written.launch('add_exact', { blocks: 1, threads: 32, shared: 0 }, [...args, { size: 4 }])
          const place = { buffer: 'y', start: 0 }
          written.near(place, values(2, 3, 4 + off, NaN), values(0, Infinity, allowed, NaN))
          written.line('end')
        }

      test.each([
        { off: 0.25, allowed: 0.25, code: 0 },
        { off: 0.25, allowed: 0.125, code: 1 },
        { off: NaN, allowed: 0.5, code: 1 },
      ])('of $allowed with an error of $off ends with $code', async ({ off, allowed, code }) => {
        const file = fileOf(await bundleOf(oneCall(off, allowed)))
        const certificate = fresh('.json')
        const ended = certify('--bundle', file, '--certificate', certificate, '--commit', 'abc')
        expect(ended.code, ended.stdout + ended.stderr).toBe(code)
        const said: unknown = JSON.parse(readFileSync(certificate, 'utf8'))
        expect(said).toMatchObject({
          provenance: { commit: 'abc' },
          ops: [
            { op: 'add', owes: 'bound', differing: 1, worst: { index: 2, actual: 4, tolerance: allowed } },
          ],
        })
      })
    })
  },
)
