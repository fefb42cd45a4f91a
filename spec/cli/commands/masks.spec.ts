/**
 * `shadowllm masks`: the picture, the object, the file, and what is refused.
 *
 * Tests src/cli/commands/masks.ts and src/cli/mask_picture.ts.
 */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { afterAll, describe, expect, test } from 'vitest'
import { formatBlocks, formatMask, formatRuns } from '../../../src/cli/mask_picture.ts'
import { plainScreen, render, type Screen } from '../../../src/cli/screen.ts'
import { openSafetensors } from '../../../src/io/safetensors.ts'
import { makeMask, type UnitMask } from '../../../src/masks/mask.ts'
import { kills, lawForAll, stateLaw } from '../../harness/seed.ts'
import { runInside } from '../run_inside.ts'

const folder = mkdtempSync(join(tmpdir(), 'shadowllm-masks-'))
afterAll(() => rmSync(folder, { recursive: true }))

interface Summary {
  tokens: number[]
  scope: string
  sparsity: { heads: number; neurons: number }
  achieved: { heads: number; neurons: number }
  overlap: Record<'heads' | 'neurons', { recall: number; precision: number; jaccard: number; chance: number }>
  layers: { layer: number; heads: number[]; neurons: number }[]
}

/** Runs the command and expects success. @returns its output */
async function run(...args: string[]): Promise<string> {
  const { code, stdout, stderr } = await runInside(['masks', ...args])
  expect([code, stderr]).toEqual([0, ''])
  return stdout
}

async function runJson(...args: string[]): Promise<Summary> {
  return JSON.parse(await run(...args, '--json')) as Summary
}

describe('masks', () => {
  test('shows the kept units of every layer, and the overlap with the oracle', async () => {
    const { code, stdout, stderr } = await runInside([
      'masks',
      'The captain looked',
      '--continuation',
      ' at the sea',
    ])
    expect([code, stderr]).toEqual([0, ''])
    expect(stdout).toMatch(
      /^embedded: 8 layers of 8 heads and 1,024 neurons\nshadow, global; a prompt of 5 tokens\n/,
    )
    expect(stdout).toMatch(/^ {4}0 {2}████████ {2}all .* 1,024 +0\.0 % +0\.0 % +0\.0 %$/m)
    expect(stdout).toMatch(/^ {4}7 {2}[█·]{8} {2}[0-9 -]+[·░▒▓█]{32} /m)
    expect(stdout).toMatch(/^ {2}all +43\.8 % +43\.8 % +43\.8 %$/m)
    expect(stdout).toMatch(/^neurons +\d+\.\d % +\d+\.\d % +\d+\.\d % +50\.0 %$/m)
  })

  test('says where all heads are kept and neurons compete within their layer', async () => {
    expect(await run('The captain looked', '--planner', 'griffin')).toMatch(
      /^embedded: .*\ngriffin, neurons within their layer, all heads kept; a prompt of 5 tokens\n/,
    )
    const { scope, sparsity, achieved, layers } = await runJson('The captain looked', '--planner', 'griffin')
    expect([scope, sparsity]).toEqual(['per-layer', { heads: 0, neurons: 0.5 }])
    expect([achieved.heads, achieved.neurons]).toEqual([0, 0.4375])
    expect(layers.map(({ neurons }) => neurons)).toEqual([1024, 512, 512, 512, 512, 512, 512, 512])
  })

  test('says which shares of input channels are masked, and writes no file of them', async () => {
    const args = ['The captain looked', '--planner', 'wina', '--sparsity', '0.25']
    const text = await run(...args)
    expect(text).toMatch(
      /\nwina, input channels of the last token of the prompt, all units kept; a prompt of 5 tokens\n/,
    )
    expect(text).toMatch(/^layer +attention - +heads - +ffn - +activations - +channels - +weights -$/m)
    expect(text).toMatch(/^ {4}0 +0\.0 % +0\.0 % +0\.0 % +0\.0 % +0\.0 % +0\.0 %$/m)
    expect(text).toMatch(/^ {4}7 +25\.0 % +25\.0 % +25\.0 % +25\.0 % +25\.0 % +\d+\.\d %$/m)
    const { sparsity, achieved } = await runJson(...args)
    expect(sparsity).toEqual({ heads: 0, neurons: 0, channels: 0.25 })
    expect(achieved).toMatchObject({ heads: 0, neurons: 0, channels: (0.25 * 7) / 8 })
    const output = join(folder, 'channels.safetensors')
    const { code, stderr } = await runInside(['masks', ...args, '-o', output])
    expect(code).toBe(2)
    expect(stderr).toContain('planner wina: expected one that masks units for --output')
  })

  test('--json and --output hold the same mask', async () => {
    const output = join(folder, 'mask.safetensors')
    const args = ['--planner', 'prompt-plainact', '--head-sparsity', '0.25', '--neuron-sparsity', '0.8']
    const { layers, achieved } = await runJson('The captain looked', ...args, '-o', output, '--quiet')
    const told = await runInside(['masks', 'The captain looked', ...args, '-o', output])
    expect(told.stderr).toBe(`head_mask [8, 8] and ffn_mask [8, 1024] written to ${output}\n`)
    const file = await openSafetensors(output)
    const heads = await file.read('head_mask')
    const neurons = await file.read('ffn_mask')
    expect(file.tensors.get('head_mask')?.shape).toEqual([8, 8])
    expect(file.tensors.get('ffn_mask')?.shape).toEqual([8, 1024])
    await file.close()
    for (const { layer, ...kept } of layers) {
      const row = heads.subarray(8 * layer, 8 * layer + 8)
      expect(kept.heads).toEqual([...row.keys()].filter((head) => row[head] === 1))
      const others = neurons.subarray(1024 * layer, 1024 * layer + 1024)
      expect(kept.neurons).toBe(others.reduce((sum, value) => sum + value, 0))
    }
    expect(achieved.heads).toBe((0.25 * 7) / 8)
    expect(achieved.neurons).toBe(Math.floor(0.8 * 7 * 1024) / 8192)
  })

  test('the oracle overlaps itself fully, and dense misses no unit', async () => {
    const text = ['The captain looked', '--continuation', ' at the sea']
    const [oracle, dense] = await Promise.all(
      ['oracle', 'dense'].map((name) => runJson(...text, '--planner', name)),
    )
    for (const kind of ['heads', 'neurons'] as const) {
      expect(oracle.overlap[kind]).toEqual({ recall: 1, precision: 1, jaccard: 1, chance: 0.5 })
      expect(dense.overlap[kind]).toEqual({ recall: 1, precision: 0.5, jaccard: 0.5, chance: 1 })
    }
  })

  test('a file is a prompt, cut at --tokens and at the context length', async () => {
    const path = join(folder, 'long.txt')
    writeFileSync(path, 'The captain looked at the sea. '.repeat(60))
    const all = await runJson('--text', path)
    const some = await runJson('--text', path, '--tokens', '7')
    expect(all.tokens).toHaveLength(255)
    expect(some.tokens).toEqual(all.tokens.slice(0, 7))
    expect(await run('--text', path, '--tokens', '7')).toMatch(
      /a prompt of 7 tokens \(\d+ more were left out\)/,
    )
  })

  test('- reads the prompt from standard input', async () => {
    const { stdout } = await runInside(['masks', '-', '--json'], { input: ['The captain', 'looked'] })
    expect(JSON.parse(stdout)).toEqual(await runJson('The captain\nlooked'))
  })

  test.each([
    ['no prompt', 2, 'PROMPT', []],
    ['two prompts', 2, 'PROMPT', ['a', '--text', 'b']],
    [
      'no prompt for the oracle beside a mask of all layers',
      2,
      'PROMPT',
      ['--all-layers', '--planner', 'static', '--calibration', 'x', '--continuation', 'a'],
    ],
    ['an oracle without an answer', 2, 'CONTINUATION', ['a b', '--planner', 'oracle']],
    ['no calibration', 4, 'CALIBRATION_MISSING', ['a b', '--planner', 'static']],
    ['no predictor', 4, 'PREDICTOR_MISSING', ['a b', '--planner', 'dejavu']],
    ['no such text', 3, 'FILE_MISSING', ['--text', join(folder, 'none')]],
    ['a share in per cent', 2, 'SPARSITY', ['a b', '--head-sparsity', '50']],
    ['an output that cannot be', 2, 'OUTPUT', ['a b', '-o', folder]],
  ])('%s ends with %i', async (_, exitCode, code, args) => {
    const result = await runInside(['masks', ...args])
    expect([result.code, result.stdout]).toEqual([exitCode, ''])
    expect(result.stderr).toContain(`[${code}]`)
  })

  test('a continuation that fills the context is refused by its own name', async () => {
    const { stderr } = await runInside(['masks', 'a', '--continuation', 'x '.repeat(300)])
    expect(stderr).toMatch(
      /^shadowllm: --continuation: expected fewer than 255 tokens \(the model's context less a prompt\), got \d+; shorten it \[/,
    )
  })
})

test('a flag without the flags that it needs names the one that is missing', async () => {
  const refused = async (...args: string[]): Promise<string> =>
    (await runInside(['masks', 'a', ...args])).stderr
  expect(await refused('--planner', 'oracle')).toBe(
    'shadowllm: --planner oracle: expected --continuation TEXT beside it, got none [CONTINUATION]\n',
  )
  const all = async (...args: string[]): Promise<string> =>
    (await refused('--all-layers', ...args)).replace(/^shadowllm: --all-layers: | \[FLAGS\]\n$/g, '')
  const needed = 'expected --planner static --calibration DIR beside it, which alone rank layer 0'
  expect(await all()).toBe(`${needed}, got none`)
  expect(await all('--planner', 'random')).toBe(`${needed}, got random`)
  const moments = ['--planner', 'static', '--criterion', 'obs']
  expect(await all(...moments)).toBe(`${needed} (make one with "shadowllm calibrate"), got no calibration`)
  expect(await all(...moments, '--calibration', folder, '--released')).toBe(
    'expected no --paper-compatible beside it, got it',
  )
})

describe('the picture', () => {
  const readRuns = (text: string): number[] =>
    text === ''
      ? []
      : text.split(' ').flatMap((run) => {
          const [from, to = from] = run.split('-').map(Number)
          return Array.from({ length: to - from + 1 }, (_, i) => from + i)
        })
  const numbers = fc.uniqueArray(fc.nat(30)).map((list) => list.toSorted((a, b) => a - b))

  const readsBack = lawForAll(
    'run-length encoded numbers round-trip',
    { list: numbers },
    (format: typeof formatRuns, { list }) => void expect(readRuns(format(list))).toEqual(list),
  )
  stateLaw(readsBack, formatRuns)

  test('a mutant that ends a run too early is killed', async () => {
    const mutant = (list: readonly number[]): string =>
      formatRuns(list).replace(/-(\d+)/, (_, to) => `-${to - 1}`)
    await kills(readsBack, mutant)
  })

  const pictureOf = (mask: UnitMask, width: number, screen: Screen): string =>
    render(formatMask(mask, { width }, screen), screen)

  test('a block is drawn full or empty only if all or none of its units are kept', () => {
    expect(formatBlocks(Float32Array.of(1, 0, 1))).toBe('█·█')
    const units = new Float32Array(64).fill(1)
    units[0] = 0
    units.fill(0, 4, 6)
    expect(formatBlocks(units)).toBe(`▒█·${'█'.repeat(29)}`)
    expect([...formatBlocks(new Float32Array(1000))]).toHaveLength(32)
  })

  test('a layer without heads says so', () => {
    const mask = makeMask({ layers: 1, heads: 2, neurons: 2 }, Float32Array.of(0, 0), Float32Array.of(0, 1))
    expect(pictureOf(mask, 4, plainScreen).split('\n')[1]).toBe(
      '    0  ··     none  ·█          1  100.0 %     50.0 %     90.0 %',
    )
  })

  const shape = { layers: 3, heads: 12, neurons: 3072 }
  const half = makeMask(
    shape,
    Float32Array.from({ length: 36 }, (_, i) => (i % 3 === 0 ? 0 : 1)),
    Float32Array.from({ length: 3 * 3072 }, (_, i) => (i % 2 === 0 ? 0 : 1)),
  )
  const widest = (text: string): number => Math.max(...text.split('\n').map(({ length }) => length))

  test.each([200, 120, 100, 80])('fits into %i columns, every layer on one line', (columns) => {
    const picture = pictureOf(half, 768, { ...plainScreen, columns })
    expect(widest(picture)).toBeLessThanOrEqual(columns)
    expect(picture.match(/^ +\d {2}/gm)).toHaveLength(3)
    expect(picture).toContain('1,536')
    expect(picture).toMatch(/\nA block is a head or \d+ neurons: █ all kept, ▓ ▒ ░ in part, · none\./)
  })

  test('is folded where even eight blocks are too many', () => {
    const picture = pictureOf(half, 768, { ...plainScreen, columns: 40 })
    expect(widest(picture)).toBeLessThanOrEqual(40)
    expect(picture.match(/^ +2 {2}/gm)?.length).toBeGreaterThan(1)
  })

  test('has a dimmed legend in colours', () => {
    const screen = { ...plainScreen, columns: 200 }
    const [, legend] = pictureOf(half, 768, screen).split('\n\n')
    const [, coloured] = pictureOf(half, 768, { ...screen, hasColours: true }).split('\n\n')
    expect(coloured).toBe(`\x1b[2m${legend}\x1b[22m`)
  })
})
