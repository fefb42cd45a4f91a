/**
 * What cuda/certify and cuda/certify.sh, which starts it, refuse: each in one line and with the documented exit code.
 */
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { readBundle, seal } from '../../scripts/cuda/certify/bundle.ts'
import { buildEmulator, whyNoEmulator } from '../../scripts/cuda/emulator.ts'
import { modulePath } from '../../scripts/cuda/module.ts'
import { root } from '../../scripts/sources.ts'
import { compile } from '../../scripts/tool.ts'
import { runSeed } from '../harness/seed.ts'
import {
  bundleOf,
  compileLibrary,
  hostileReader,
  noDevice,
  runProgram,
  workshop,
  type Ended,
} from './cuda_certify.ts'

const missing = await whyNoEmulator()
const { folder, program, fresh, fileOf, certify } = workshop()

/** One line on stderr, nothing on stdout, this exit code. */
function expectRefused({ code, stdout, stderr }: Ended, exitCode: number, words: RegExp): void {
  expect(stderr).toMatch(words)
  expect(stderr).toMatch(/^certify: [^\n]+: expected [^\n]+\n$/)
  expect([code, stdout]).toEqual([exitCode, ''])
}

describe.skipIf(missing !== null)(
  `what cannot be trusted${missing === null ? '' : `, which needs g++ here: ${missing}`}`,
  () => {
    const certificate = join(folder, 'never.json')

    test('a bundle for other kernels, and kernels of another build, are refused', () => {
      const text = Buffer.from(readBundle()).toString('latin1')
      const other = text.replace(/"kernels":"./, (said) => `"kernels":"${said.endsWith('0') ? '1' : '0'}`)
      const stale = fileOf(seal(Buffer.from(other, 'latin1')))
      expectRefused(
        certify('--bundle', stale, '--certificate', certificate),
        3,
        /expected cases for kernels \w{12}\.\.\., .*, got some for \w{12}\.\.\.; run "npm run build:cuda-certify"$/m,
      )
      const kernels = fileOf(`${readFileSync(modulePath, 'utf8')}\n`)
      expectRefused(certify('--kernels', kernels, '--certificate', certificate), 3, /build:cuda-certify/)
    })

    test('a bundle that is cut, or has a byte changed, anywhere', { timeout: 240_000 }, async (context) => {
      const source = fileOf(hostileReader, '.cpp')
      const reader = fresh('')
      const flags = [
        '-std=c++17',
        '-O0',
        '-g1',
        '-I',
        root,
        '-fsanitize=address,undefined',
        '-fno-sanitize-recover=all',
      ]
      const built = await compile('g++', [...flags, '-o', reader, source], root).then(
        () => true,
        (error: Error) => !/sanitize|asan|ubsan/.test(error.message) && Promise.reject(error),
      )
      if (!built) return context.skip('g++ has no sanitizers here')
      const small = await bundleOf((written) => {
        written.line('set', 'exact', 'cuda', 'cuda-emulated')
        written.line('op', 'add', 'bits')
        written.line('case', 0, 'N=3')
        for (const name of ['y', 'a', 'b'])
          written.buffer({ name, dtype: 'f32', length: 3, fill: { kind: 'numbers', seed: 1 } })
        written.buffer({ name: 'ids', dtype: 'i32', length: 3, fill: { kind: 'ids', seed: 1, limit: 9 } })
        const args = ['y', 'a', 'b'].map((buffer) => ({ buffer, start: 0 }))
        written.launch('add_exact', { blocks: 1, threads: 32, shared: 0 }, [...args, { size: 3 }])
        written.equal({ buffer: 'y', start: 0 }, 'f32', Float32Array.of(1, 2, 3))
        written.line('end')
        written.line('shape', 'tiny', 'fc1', 'f32')
        written.buffer({
          name: 'w',
          dtype: 'f32',
          length: 9,
          copies: 2,
          fill: { kind: 'numbers', seed: 2 },
        })
        written.line('arm', 'dense', 0, 36)
        written.line('sample', 'rows', '@w', '@w+3', '@w', 3, 3)
        written.line('end')
      })
      const runs = '2000'
      const args = [fileOf(small), modulePath, fresh(''), String(runSeed()), runs]
      const { code, stdout, stderr } = runProgram(reader, args)
      expect([code, stderr], stdout).toEqual([0, ''])
      const [cut, changed, sealed] = stdout.trim().split(' ').map(Number)
      expect([cut, changed]).toEqual([0, 0])
      // With a right hash some changes make another program, and most make none.
      expect(sealed).toBeGreaterThan(0)
      expect(sealed).toBeLessThan(Number(runs) / 2)
    })

    test.each([
      {
        words: [],
        code: 2,
        says: /--bundle: expected a file, got none|expected --certificate or --shapes/,
      },
      { words: ['--bogus'], code: 2, says: /--bogus: expected a flag/ },
      { words: ['--certificate'], code: 2, says: /--certificate: expected a value, got none/ },
      {
        words: ['--set', 'odd', '--certificate', certificate],
        code: 2,
        says: /--set: expected one of exact/,
      },
      { words: ['--ops', 'odd', '--certificate', certificate], code: 2, says: /--ops: expected ops/ },
      {
        words: ['--bundle', '/none', '--certificate', certificate],
        code: 3,
        says: /\/none: expected a file, got none/,
      },
      {
        words: ['--driver', '/none.so', '--certificate', certificate],
        code: 4,
        says: /expected the NVIDIA driver/,
      },
    ])('$words', ({ words, code, says }) => {
      const ended = certify(...words)
      expect(ended.stderr).toMatch(says)
      expect(ended.stderr).toMatch(/^certify: [^\n]+\n$/)
      expect(ended.code).toBe(code)
      expect(existsSync(certificate)).toBe(false)
    })

    test('a driver without a device, and a library that is no driver, are refused', async () => {
      const without = await compileLibrary(fresh('-without'), noDevice)
      expectRefused(
        certify('--driver', without, '--certificate', certificate),
        4,
        /expected a CUDA device, got none/,
      )
      const none = await compileLibrary(fresh('-none'), 'int nothing;')
      expectRefused(
        certify('--driver', none, '--certificate', certificate),
        4,
        /got a library without cuInit/,
      )
    })
  },
)

describe.skipIf(missing !== null)(
  `the script${missing === null ? '' : `, which needs g++ here: ${missing}`}`,
  () => {
    const script = join(root, 'cuda/certify.sh')

    test('exits with 1 for a wrong kernel, 4 without a driver, 2 for a wrong flag', async () => {
      const driver = fresh('.so')
      // The first op of the catalogue alone, wrong: what comes after it fails too.
      const plant = { file: 'embedding.cu', from: 'y[n] = widen', to: 'y[n] = -widen' }
      await buildEmulator({ plant, part: { file: 'embedding.cu', ops: ['embedding'] }, output: driver })
      const args = ['--without-node', '--program', program]
      const wrong = runProgram(script, [...args, '--driver', driver, '--output', join(folder, 'wrong')])
      expect(wrong.stderr).toMatch(
        /^cuda-emulated: failed: embedding: y\[\d+\] is \S+, expected \S+, at T=\d+,V=\d+,D=\d+; and embedding_bf16$/m,
      )
      expect(wrong.code).toBe(1)
      const none = runProgram(script, [...args, '--driver', '/none.so', '--output', join(folder, 'none')])
      expect([none.code, none.stdout]).toEqual([4, ''])
      expect(none.stderr).toMatch(
        /^certify: driver: expected the NVIDIA driver \(\/none\.so\), got none[^\n]*\n$/,
      )
      const flag = runProgram(script, ['--odd'])
      expect(flag).toEqual({
        code: 2,
        stdout: '',
        stderr: 'certify: --odd: expected a flag that --help lists, got another word\n',
      })
    })
  },
)
