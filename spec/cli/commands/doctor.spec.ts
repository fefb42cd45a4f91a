/**
 * `shadowllm doctor`: the state of each backend, and whether threads pay. Tests src/cli/commands/doctor.ts and
 * src/cli/thread_check.ts.
 */
import { describe, expect, test } from 'vitest'
import { backendNames, type Backend, type BackendName } from '../../../src/backends/backend.ts'
import { valuesOf } from '../../../src/backends/calls.ts'
import { backendRows, describeBackend, type BackendState } from '../../../src/cli/commands/doctor.ts'
import { describeThreads, gainOf, type ThreadCheck } from '../../../src/cli/thread_check.ts'
import { portableNames } from '../../harness/strict.ts'
import { runJson } from '../run_inside.ts'

/** What it reports here; it measures for seconds. */
const reported = runJson('doctor')

describe('doctor', () => {
  test('reports every backend as working, or names what is missing', async () => {
    const report = await reported
    expect(report).toMatchObject({ runtime: { name: expect.any(String) }, wasm: { simd: true } })
    const states = report.backends as {
      name: BackendName
      works: boolean
      device: string | null
      set: string | null
      absent: boolean
      reason: string
    }[]
    expect(states.map(({ name }) => name)).toEqual(backendNames)
    for (const { name, works, device, set, absent, reason } of states) {
      expect(works || (absent && !portableNames.includes(name)), `${name}: ${reason}`).toBe(true)
      if (works && name.startsWith('cuda'))
        expect(device).toMatch(/, compute capability \d+\.\d, driver for CUDA \d+\.\d$/)
      else if (works && name.startsWith('webgpu')) expect(device).toMatch(/./)
      else expect(device).toBeNull()
      expect(set).toEqual(works ? expect.stringMatching(/^(exact|relaxed|fast)$/) : null)
      if (absent) expect(reason).toMatch(/^backend [a-z-]+: expected .*, got none/)
    }
  })

  test.each<[Partial<BackendState>, string]>([
    [{}, 'works, exact'],
    [{ set: 'relaxed' }, 'works, relaxed'],
    [{ device: 'llvmpipe' }, 'works, exact: llvmpipe'],
    [
      {
        device: 'llvmpipe',
        limits: { bindingBytes: 2 ** 27, bindings: 10, f16: false, subgroups: true },
      },
      'works, exact: llvmpipe; 10 bindings of 128 MiB at most, no f16, subgroups',
    ],
    [
      { set: 'fast', notExact: 'add(1e-39, 0): expected 1e-39, got 0', device: 'SwiftShader' },
      'works, fast (add(1e-39, 0): expected 1e-39, got 0): SwiftShader',
    ],
    [{ works: false, set: null, reason: 'expected 0, got 1' }, 'does not work: expected 0, got 1'],
  ])('a backend is described in a line: %o', (found, line) => {
    const state = {
      name: 'webgpu',
      works: true,
      device: null,
      limits: null,
      set: 'exact',
      notExact: null,
    } as const
    expect(describeBackend({ ...state, absent: false, reason: null, ...found })).toBe(line)
  })

  test('backends that lack the same have one row, and no other have', () => {
    const here = {
      device: null,
      limits: null,
      set: 'exact',
      notExact: null,
      absent: false,
      reason: null,
    } as const
    const gone = { device: null, limits: null, set: null, notExact: null, works: false } as const
    const lacks = (name: BackendName, what: string): BackendState => ({
      name,
      ...gone,
      absent: true,
      reason: `backend ${name}: expected ${what}, got none`,
    })
    const broken = (name: BackendName): BackendState => ({ name, ...gone, absent: false, reason: 'odd' })
    expect(
      backendRows([
        { name: 'reference', works: true, ...here },
        { name: 'wasm', works: true, ...here },
        broken('wasm-relaxed'),
        broken('wasm-rust'),
        lacks('cuda', 'a driver'),
        lacks('cuda-emulated', 'an emulator'),
        lacks('cuda-fast', 'a driver'),
      ]),
    ).toEqual([
      ['backend reference', 'works, exact'],
      ['backend wasm', 'works, exact'],
      ['backend wasm-relaxed', 'does not work: odd'],
      ['backend wasm-rust', 'does not work: odd'],
      ['not here', 'cuda, cuda-fast: expected a driver, got none'],
      ['not here', 'cuda-emulated: expected an emulator, got none'],
    ])
  })

  test('measures whether threads pay, or states why there is one', async () => {
    const { available, auto, gain, reason } = (await reported).threads as ThreadCheck
    expect(auto).toBe(Math.min(available, 4))
    if (auto > 1) expect(Math.min(...Object.values(gain ?? {}))).toBeGreaterThan(0)
    else expect(reason).toEqual(expect.any(String))
  })

  test.each([
    [
      { available: 1, auto: 1, gain: null, reason: 'no more run at once here' },
      '1: no more run at once here',
    ],
    [
      { available: 8, auto: 4, gain: { oneToken: 1.5, manyTokens: 0.4 }, reason: null },
      '4 of 8; products of one token are shared now (shared 1.50 × as fast), of many left to one thread now (shared 0.40 × as fast)',
    ],
  ])('is one line', (found, line) => expect(describeThreads(found)).toBe(line))

  test('multiplies matrices of the sizes it says, by one thread and by several in turns', () => {
    const calls: [string, ...(readonly number[])[]][] = []
    const player = (name: string): Backend => {
      const linear = (...[y, x, weight, bias, rows]: Parameters<Backend['ops']['linear']>): void => {
        expect([bias, rows]).toEqual([null, null])
        calls.push([name, y.shape, x.shape, valuesOf(weight).shape])
      }
      return { allocate: (_: string, shape: number[]) => ({ shape }), ops: { linear } } as never
    }
    gainOf(player('one'), player('several'), [2, 3, 5])
    expect(calls.slice(0, 4)).toEqual(
      ['one', 'several', 'one', 'several'].map((name) => [name, [2, 3], [2, 5], [3, 5]]),
    )
    expect(calls.length % 2).toBe(0)
  })
})
