/**
 * The conformance kit: its vectors are those whose hashes are committed; its judge passes kernels in numpy and in C that are right, in
 * the class of their arithmetic, and fails each wrong one by its name.
 *
 * Without Debian's python3-numpy and python3-pytest, gcc, g++ or nvcc, what needs them is skipped, and says so.
 *
 * Tests fixtures/kit, scripts/build_kit.ts, scripts/kit/folder.ts, scripts/kit/model_cases.ts; which numbers the vectors hold:
 * Tests src/parity/op_suite.ts, src/testing/op_case.ts and src/testing/seeded_data.ts.
 */
import { execFile, spawnSync } from 'node:child_process'
import {
  cpSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { root } from '../../scripts/sources.ts'
import { committedSums, sourceFolder, sumsFile } from '../../scripts/kit/folder.ts'
import { writtenKits } from './written_kits.ts'

const run = promisify(execFile)
const folder = mkdtempSync(join(tmpdir(), 'shadowllm-kit-'))
afterAll(() => rmSync(folder, { recursive: true }))

const isHere = (command: string, ...args: string[]): boolean => spawnSync(command, args).status === 0
const python = '/usr/bin/python3'
const hasNumpy = isHere(python, '-c', 'import numpy')
const hasPytest = hasNumpy && isHere(python, '-c', 'import pytest')
const hasGcc = isHere('gcc', '--version') && isHere('g++', '--version')
const hasNvcc = isHere('nvcc', '--version')

let kit = ''
beforeAll(async () => void (kit = (await writtenKits()).usual), 120_000)

interface Outcome {
  readonly code: number
  readonly stdout: string
  readonly stderr: string
}

/** What a program prints; the judge leaves no compiled files behind. */
async function outcomeOf(
  program: string,
  args: readonly string[],
  env: NodeJS.ProcessEnv = {},
): Promise<Outcome> {
  const options = {
    cwd: folder,
    maxBuffer: 2 ** 26,
    env: { ...process.env, PYTHONDONTWRITEBYTECODE: '1', ...env },
  }
  return run(program, [...args], options).then(
    (result) => ({ code: 0, ...result }),
    (error: Outcome) => error,
  )
}

const judge = (...args: string[]): Promise<Outcome> =>
  outcomeOf(python, [join(kit, 'judge.py'), kit, ...args])

/** Kernels in numpy, something of them written otherwise; the path. */
function kernels(name: string, ...edits: [from: string, to: string][]): string {
  let text = readFileSync(join(sourceFolder, 'kernels.py'), 'utf8')
  for (const [from, to] of edits) {
    expect(text.split(from), from).toHaveLength(2)
    text = text.replace(from, () => to)
  }
  const path = join(folder, `${name}.py`)
  writeFileSync(path, text)
  return path
}

test('the vectors have the hashes that are committed, and at most 25 MB', () => {
  // Where this fails, `npm run build:kit` writes the hashes, and fixtures/kit/CHANGELOG.md says which numbers changed and why.
  expect(readFileSync(join(kit, sumsFile), 'utf8')).toBe(committedSums())
  const files = readdirSync(kit, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile())
  const bytes = files.reduce(
    (total, { parentPath, name }) => total + statSync(join(parentPath, name)).size,
    0,
  )
  expect(bytes).toBeLessThan(25e6)
})

describe.skipIf(!hasNumpy)(`the judge${hasNumpy ? '' : ' (skipped: no python3-numpy here)'}`, () => {
  test(
    'catches each wrong kernel of the gallery in each class, and passes each right one',
    { timeout: 600_000 },
    async () => {
      const { code, stdout } = await judge('--self-test')
      expect(stdout).toMatch(/\nevery wrong kernel was caught\n$/)
      for (const name of ['exact', 'fused', 'any_order', 'hardware', 'bf16', 'f16'])
        expect(stdout).toMatch(new RegExp(`^self-test, ${name}: \\d{3} wrong kernels, 0 failures$`, 'm'))
      expect(code).toBe(0)
    },
  )

  test('passes the layers and models of OPT and Llama in numpy, bit for bit', async () => {
    const { code, stdout } = await judge(kernels('right'))
    for (const op of ['opt', 'opt_layer', 'llama', 'llama_layer', 'attention', 'linear'])
      expect(stdout).toMatch(new RegExp(`^ok +${op} +\\d+ passed +0 failed$`, 'm'))
    expect(stdout).toMatch(/\nno answer: .*\bqwen3\b/)
    expect(stdout).toMatch(
      /\npassed: class exact, \d+ of \d+ operations answered, 0 wrong; \d+ cases judged, 0 unsupported\n$/,
    )
    expect(code).toBe(0)
  })

  const bugs: readonly { bug: string; edit: [string, string]; op: string; says: string }[] = [
    {
      bug: 'a mask of neurons that is never applied',
      edit: ['return x if mask is None else x * mask\n', 'return x\n'],
      op: 'opt_layer',
      says: 'as if the mask of neurons is never applied',
    },
    {
      bug: 'a bias that is added twice',
      edit: [
        'product if bias is None else product + bias[o]',
        'product if bias is None else product + bias[o] + bias[o]',
      ],
      op: 'linear',
      says: 'as if the bias is added twice',
    },
    {
      bug: 'a causal mask that is off by one',
      edit: ['def last_seen(p, S):\n    return p\n', 'def last_seen(p, S):\n    return min(p + 1, S - 1)\n'],
      op: 'attention',
      says: 'as if a token sees the one after it',
    },
    {
      bug: 'groups of key heads by h mod G',
      edit: ['return h * G // H', 'return h % G'],
      op: 'attention',
      says: 'as if head h reads key head h mod G',
    },
    {
      bug: 'a tail past a tile of 128',
      edit: [
        'def relu(x, **_):\n    return np.where(x > 0, x, f32(0))',
        'def relu(x, **_):\n    y = np.where(x > 0, x, f32(0))\n    n = len(y)\n    y[n - n % 128 if n > 128 else n:] = 0\n    return y',
      ],
      op: 'relu',
      says: 'only what is past the last full tile of 128 is wrong',
    },
    {
      bug: 'another order of additions',
      edit: [
        '    n = terms.shape[-1]\n    whole',
        '    return np.add.reduce(terms, axis=-1, dtype=f32)\n    whole',
      ],
      op: 'linear',
      says: 'every number is within the bounds of the class fused',
    },
  ]
  test.each(bugs)('names $bug', async ({ edit, op, says }) => {
    const { code, stdout } = await judge(kernels('wrong', edit), '--only', op)
    expect(stdout).toMatch(new RegExp(`^FAIL ${op} `, 'm'))
    expect(stdout).toMatch(
      new RegExp(`^${op}\\[\\d+\\] of class exact: \\S+\\[[\\d, ]+\\]: expected \\S+, got \\S+`, 'm'),
    )
    expect(stdout).toContain(says)
    expect(code).toBe(1)
  })

  test('counts what a kernel does not support, and judges the rest', async () => {
    const edit: [string, string] = [
      '    T = query.shape[0]\n',
      '    T = query.shape[0]\n    if K != 64: raise Unsupported\n',
    ]
    const path = kernels('limited', edit, [
      'import numpy as np\n',
      'import numpy as np\nfrom judge import Unsupported\n',
    ])
    const { code, stdout } = await judge(path, '--only', 'attention')
    expect(stdout).toMatch(/^ok +attention +[1-9]\d* passed +0 failed +\d{2,} unsupported$/m)
    // Of the bugs of attention, what heads of 64 do not show of themselves.
    expect(stdout).toMatch(/do not show whether fused multiply-add where it is not owed$/m)
    expect(code).toBe(0)
    for (const name of ['fused', 'any_order', 'hardware', 'bf16', 'f16'])
      expect((await judge(path, '--only', 'attention', '--class', name)).stdout, name).not.toContain(
        'do not show',
      )
  })

  test('says which bugs are not shown by the cases that a kernel takes', async () => {
    const path = kernels('few', [
      'def relu(x, **_):\n',
      'from judge import Unsupported\ndef relu(x, **_):\n    if len(x) > 210: raise Unsupported\n',
    ])
    const { code, stdout } = await judge(path, '--only', 'relu')
    expect(stdout).toMatch(
      /note: \d+ of \d+ cases are judged, and do not show whether nothing is written past the last full tile of 256$/m,
    )
    expect(code).toBe(0)
  })

  test('fails a kernel that takes no case, and one that ends the process, by its case', async () => {
    const edit = (line: string): [string, string] => [
      'def relu(x, **_):\n',
      `import os\nfrom judge import Unsupported\ndef relu(x, **_):\n    ${line}\n`,
    ]
    const none = await judge(kernels('none', edit('raise Unsupported')), '--only', 'relu')
    expect(none).toMatchObject({ code: 1 })
    expect(none.stdout).toMatch(/ 0 cases judged, 25 unsupported\n$/)
    const dead = await judge(kernels('dead', edit('if len(x) > 64: os.abort()')), '--only', 'relu')
    expect(dead).toMatchObject({ code: 1 })
    expect(dead.stdout).toMatch(/^FAIL relu\[\d+\]: signal 6 ended the process\n$/)
  })

  test('asks about a function that has almost the name of an operation', async () => {
    const { stdout } = await judge(
      kernels('misspelt', ['def softmax(', 'def softmaxx(']),
      '--only',
      'softmax',
    )
    expect(stdout).toContain('softmaxx is no operation: did you mean softmax?')
  })

  test('notes an explanation on which nearly every failing case agrees', async () => {
    // Of one token alone, another number is wrong besides.
    const edit: [string, string] = [
      'def last_seen(p, S):\n    return p\n',
      'def last_seen(p, S):\n    return min(p + 1, S - 1) if S != 130 else p - 1\n',
    ]
    const { stdout } = await judge(kernels('mostly', edit), '--only', 'attention', '--class', 'fused')
    expect(stdout).toMatch(/note: (\d+) of (?!\1)\d+ failing cases: .* as if a token sees the one after it$/m)
    expect(stdout).not.toContain('cause:')
  })

  test('takes another order of additions for no bug', async () => {
    const edit: [string, string] = [
      '    n = terms.shape[-1]\n    whole',
      '    return np.add.reduce(terms, axis=-1, dtype=f32)\n    whole',
    ]
    const { stdout } = await judge(kernels('ordered', edit), '--only', 'linear')
    expect(stdout).toContain('note: every number is within the bounds of the class fused')
    expect(stdout).not.toContain('as if')
  })

  test('writes a case with its bounds', async () => {
    const path = join(folder, 'case.npz')
    expect(await judge('--dump', 'linear[7]', path, '--class', 'any_order')).toMatchObject({ code: 0 })
    const list = await outcomeOf(python, [
      '-c',
      `import numpy as np; print(*np.load(${JSON.stringify(path)}))`,
    ])
    expect(list.stdout.split(/\s/)).toEqual(
      expect.arrayContaining(['x', 'weight', 'T', 'expected.y', 'bound.y']),
    )
  })

  test('fails a tensor that is absent, unknown or of another type, in folders of safetensors and npz', async () => {
    const write = join(folder, 'write.py')
    writeFileSync(
      write,
      [
        'import sys, numpy as np',
        'from judge import Kit',
        'import kernels',
        'cases = Kit(sys.argv[1]).cases("relu")',
        'answers = {f"{c.index}.out.y": kernels.relu(c.given["x"]) for c in cases}',
        'exec(sys.argv[3])',
        'np.savez(sys.argv[2], **answers)',
      ].join('\n'),
    )
    const answersOf = async (name: string, change: string): Promise<Outcome> => {
      const results = join(folder, name)
      mkdirSync(results, { recursive: true })
      const made = await outcomeOf(python, [write, kit, join(results, 'relu.npz'), change], {
        PYTHONPATH: kit,
      })
      expect(made).toMatchObject({ code: 0, stderr: '' })
      return judge(results, '--only', 'relu')
    }
    expect(await answersOf('good', '')).toMatchObject({ code: 0 })
    for (const [name, change, says] of [
      ['absent', 'del answers["3.out.y"]', 'expected a tensor, got none'],
      [
        'unknown',
        'answers["3.out.z"] = answers["3.out.y"]',
        'z: unknown: no tensor of this name is expected',
      ],
      ['misnamed', 'answers["3_out_y"] = answers["3.out.y"]', '3_out_y: unknown'],
      [
        'wide',
        'answers["3.out.y"] = answers["3.out.y"].astype("f8")',
        'expected float32[16], got float64[16]',
      ],
    ] as const) {
      const { code, stdout } = await answersOf(name, change)
      expect(stdout).toContain(says)
      expect(code).toBe(1)
    }
    const empty = join(folder, 'empty')
    mkdirSync(empty)
    expect(await judge(empty)).toMatchObject({ code: 1 })
  })

  test('refuses damaged vectors in one line', async () => {
    const copy = join(folder, 'damaged')
    cpSync(kit, copy, { recursive: true })
    const file = join(copy, 'vectors', 'relu.safetensors')
    const bytes = readFileSync(file)
    bytes[bytes.length - 1] ^= 1
    writeFileSync(file, bytes)
    const { code, stderr } = await outcomeOf(python, [
      join(copy, 'judge.py'),
      copy,
      kernels('right'),
      '--only',
      'relu',
    ])
    expect(stderr).toMatch(/^[^\n]+relu\.safetensors: its hash is not that of the manifest\n$/)
    expect(code).toBe(3)
  })
})

describe.skipIf(!hasPytest)(
  `the judge in pytest${hasPytest ? '' : ' (skipped: no python3-pytest here)'}`,
  () => {
    const pytest = (path: string, ...args: string[]): Promise<Outcome> =>
      outcomeOf(
        python,
        ['-m', 'pytest', '-p', 'judge', '-p', 'no:cacheprovider', '-q', '--vectors', kit, path, ...args],
        {
          PYTHONPATH: kit,
        },
      )

    test('runs each vector as a test, and writes JUnit', async () => {
      const xml = join(folder, 'junit.xml')
      const { code, stdout } = await pytest(kernels('right'), '-k', 'relu or linear', '--junitxml', xml)
      expect(stdout).toMatch(/\n\d{3} passed, \d+ deselected/)
      expect(code).toBe(0)
      expect(readFileSync(xml, 'utf8')).toMatch(/failures="0" skipped="0" tests="\d{3}"/)
    })

    test('shows a wrong number of the smallest case with its inputs', async () => {
      const wrong = kernels('wrong', [
        'def relu(x, **_):\n    return np.where(x > 0, x, f32(0))',
        'def relu(x, **_):\n    return x',
      ])
      const { code, stdout } = await pytest(wrong, '-k', 'relu[', '--arithmetic', 'fused')
      expect(stdout).toMatch(
        /relu\[\d+\] of class fused: y \[\d+\]: expected 0\.0, got -\S+ \(\d+ ulps\), allowed 0; \d+ of \d+ numbers are wrong/,
      )
      expect(stdout).toMatch(/ {2}x float32\[\d+\]/)
      expect(code).toBe(1)
    })
  },
)

const hasCMake = isHere('cmake', '--version')
const canFollow = hasPytest && hasGcc && hasCMake

describe.skipIf(!canFollow)(
  `docs/guides/kernels.md${canFollow ? '' : ' (skipped: no python3-pytest, gcc or cmake here)'}`,
  () => {
    /** The blocks of the guide: files to write, commands to run inside the kit, and what they print. */
    const blocks = [
      ...readFileSync(join(root, 'docs/guides/kernels.md'), 'utf8').matchAll(
        /^```(\w+)(?: file=(\S+))?\n(.*?)^```$/gms,
      ),
    ].map(([, language, file, text]) => ({ language, file, text }))

    /** Whether a text has these parts in their order, and nothing before the first. */
    function isLike(text: string, wanted: string): boolean {
      const parts = wanted.split(/ ?\.\.\.\n?/)
      let at = 0
      for (const [i, part] of parts.entries()) {
        const found = text.indexOf(part, at)
        if (found < 0 || (i === 0 && found > 0)) return false
        at = found + part.length
      }
      return parts.at(-1) === '' || at === text.length
    }

    test('every command prints what the guide says', { timeout: 300_000 }, async () => {
      const [first, ...rest] = blocks
      expect(first.text).toBe('npm run build:kit\n')
      const copy = join(folder, 'guide')
      cpSync(kit, copy, { recursive: true })
      let commands = 0
      for (const [i, { language, file, text }] of rest.entries()) {
        if (file !== undefined) writeFileSync(join(copy, file), text)
        if (language !== 'sh') continue
        commands++
        const script = `cd ${copy}; python3() { ${python} "$@"; }; set -e; ${text}`
        const { code, stdout, stderr } = await outcomeOf('bash', ['-c', script])
        const failsAsShown = rest[i + 1]?.text.startsWith('FAIL') ?? false
        expect([code === 0 || failsAsShown, stderr], `${text}${stdout}`).toEqual([true, ''])
        if (rest[i + 1]?.language === 'text')
          expect(
            isLike(stdout, rest[i + 1].text),
            `${text}expected\n${rest[i + 1].text}\ngot\n${stdout}`,
          ).toBe(true)
      }
      expect(commands).toBeGreaterThan(7)
    })

    test('the guide lists each operation that is no kernel of the catalogue', () => {
      const text = readFileSync(join(root, 'docs/guides/kernels.md'), 'utf8')
      for (const name of ['opt', 'opt_layer', 'opt_gradients', 'llama', 'plainact', 'predict', 'select'])
        expect(text).toContain(`\`${name}\``)
    })

    test('another output than the one of the guide is found', () => {
      expect(isLike('a b\nc\n', 'a ...\nc\n')).toBe(true)
      expect(isLike('a b\nc\n', 'a ...\nd\n')).toBe(false)
      expect(isLike('x a\n', 'a\n')).toBe(false)
    })
  },
)

describe.skipIf(!hasGcc)(`the header in C${hasGcc ? '' : ' (skipped: no gcc here)'}`, () => {
  const program = join(folder, 'example')
  const compile = async (from = '', to = ''): Promise<string> => {
    const source = join(folder, 'example.c')
    writeFileSync(
      source,
      readFileSync(join(sourceFolder, 'example.c'), 'utf8').replace(from, () => to),
    )
    const flags = ['-std=c99', '-O2', '-ffp-contract=off', '-Wall', '-Wextra', '-Werror']
    await run('gcc', [...flags, '-I', sourceFolder, '-o', program, source, '-lm'])
    return program
  }

  test('passes the example', async () => {
    const { code, stdout } = await outcomeOf(await compile(), [kit])
    expect(stdout).toMatch(
      /^ok +linear: class exact, \d+ passed, 0 failed.*\nok +softmax: class any_order.*\nok +top_k: class exact.*\n$/,
    )
    expect(code).toBe(0)
  })

  test.each([
    [
      'a bias that is missing',
      'bias ? product + bias[o] : product',
      'bias ? product : product',
      /^linear\[\d+\] of class exact: y\[\d+, \d+\]: expected \S+, got .*\n  T=\d+ O=\d+/,
    ],
    [
      'a write past the end',
      '  for (t = 0; t < T; t++, x += V, y += V) {',
      '  y[T * V] = 0;\n  for (t = 0; t < T; t++, x += V, y += V) {',
      /softmax\[\d+\] of class any_order: y: written outside of the array/,
    ],
    [
      'ties that go to the last',
      'n < m;',
      'n > m;',
      /top_k\[\d+\] of class exact: indices\[\d+\]: other bits than expected/,
    ],
  ])('fails %s', async (_, from, to, says) => {
    const { code, stdout } = await outcomeOf(await compile(from, to), [kit])
    expect(stdout).toMatch(says)
    expect(code).toBe(1)
  })

  test.each([
    [
      'is left out',
      '    if (N > 200) continue;',
      1,
      /^relu: \d+ of 25 cases were neither judged nor unsupported$/m,
    ],
    [
      'has a changed input',
      '    if (N) ((float *)kit_f32(kit, i, "x"))[0] = 7;',
      1,
      /^relu: an input was changed$/m,
    ],
    ['is right', '', 0, /^ok +relu: class fused, 24 passed, 0 failed, 1 unsupported/m],
  ])('tells when a case %s', async (_, line, exit, says) => {
    const source = join(folder, 'relu.c')
    writeFileSync(source, reluInC(line, ''))
    await run('gcc', [
      '-std=c99',
      '-Wall',
      '-Wextra',
      '-Werror',
      '-I',
      sourceFolder,
      '-o',
      program,
      source,
      '-lm',
    ])
    const { code, stdout } = await outcomeOf(program, [kit, '.'])
    expect(stdout).toMatch(says)
    expect(code).toBe(exit)
  })

  test('saves outputs for the judge, which has the cause', async () => {
    const answers = join(folder, 'answers')
    mkdirSync(answers)
    const source = join(folder, 'relu.cpp')
    writeFileSync(source, reluInC('', '(n < N - N % 128 || N < 128) && '))
    await run('g++', ['-Wall', '-Wextra', '-Werror', '-I', sourceFolder, '-o', program, source, '-lm'])
    expect(await outcomeOf(program, [kit, answers])).toMatchObject({ code: 1 })
    const { stdout } = await judge(answers, '--only', 'relu', '--class', 'fused')
    expect(stdout).toMatch(/^FAIL relu +\d+ passed +\d+ failed +1 unsupported$/m)
    expect(stdout).toContain('cause: only what is past the last full tile of 128 is wrong')
  })

  test('finds a step of a tree that is missing in a kernel in CUDA, on a CPU', async () => {
    const example = readFileSync(join(sourceFolder, 'example.cu'), 'utf8')
    const [from, to] = [
      '    if (own < half) shared[own] += ',
      '    if (own < half && half < 16) shared[own] += ',
    ]
    expect(example.split(from)).toHaveLength(2)
    const source = join(folder, 'wrong.cu')
    writeFileSync(
      source,
      example.replace(from, () => to),
    )
    const flags = [
      '-std=c++20',
      '-x',
      'c++',
      '-include',
      join(sourceFolder, 'cuda_on_cpu.h'),
      '-I',
      sourceFolder,
    ]
    await run('g++', [...flags, '-o', program, source])
    const { code, stdout } = await outcomeOf(program, [kit])
    expect(stdout).toMatch(/^ok +linear: .*\nok +silu_gate: /)
    expect(stdout).toMatch(/^FAIL softmax: class hardware, /m)
    expect(code).toBe(1)
  })
})

/** relu judged by the header; a case of one size is unsupported. */
const reluInC = (line: string, condition: string): string => `
#include "kit.h"
int main(int argc, char **argv) {
  kit_file *kit = kit_open(argv[1], "relu", "fused");
  int i, n;
  if (argc > 2) kit_save(kit, argv[2]);
  for (i = 0; i < kit->cases; i++) {
    const int N = kit_size(kit, i, "N");
    const float *x = kit_f32(kit, i, "x");
    float *y;
${line}
    if (N == 129) {
      kit_unsupported(kit, i);
      continue;
    }
    y = (float *)kit_output(kit, i, "y");
    for (n = 0; n < N; n++) y[n] = ${condition}x[n] > 0 ? x[n] : 0;
    kit_judge(kit, i);
  }
  return kit_finish(kit);
}
`

describe.skipIf(!hasNvcc)(`the example in CUDA${hasNvcc ? '' : ' (skipped: no nvcc here)'}`, () => {
  test('compiles without a warning', { timeout: 300_000 }, async () => {
    const flags = ['-std=c++17', '-arch=sm_80', '-Werror', 'all-warnings']
    await run('nvcc', [...flags, '-c', '-o', join(folder, 'example.o'), join(sourceFolder, 'example.cu')])
  })
})
