/**
 * The command line as scripts and people meet it: exit codes, one clear line per refusal, data on stdout and nothing
 * else, help everywhere.
 *
 * Tests src/cli/run.ts and src/cli/failure.ts.
 */
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, test } from 'vitest'
import { plannerNames } from '../../src/planners/index.ts'
import { encodeSafetensors } from '../../src/io/safetensors_writer.ts'
import { P, pickle, torchFile, tuple } from '../../fixtures/hostile/build_torch.ts'
import { root, tinyFolder, type CliResult } from './run_cli.ts'
import { runInside } from './run_inside.ts'

const folder = mkdtempSync(join(tmpdir(), 'shadowllm-cli-'))
afterAll(() => rmSync(folder, { recursive: true }))

const about = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as { version: string }
const good = join(root, tinyFolder)
const cases = `${tinyFolder}/cases/batch.safetensors`

/** A model folder with the golden configuration and this file of weights. */
function modelWith(name: string, file: string, content: Uint8Array): string {
  const path = join(folder, name)
  mkdirSync(path)
  copyFileSync(join(good, 'config.json'), join(path, 'config.json'))
  writeFileSync(join(path, file), content)
  return path
}

/** Nothing on stdout, exactly one line on stderr: "shadowllm: words [CODE]". */
function expectRefusal({ code, stdout, stderr }: CliResult, exitCode: number, errorCode: string): void {
  expect(stderr).toMatch(/^shadowllm: [^\n]+ \[[A-Z0-9_]+\]\n$/)
  expect(stderr).toContain(`[${errorCode}]`)
  expect(stdout).toBe('')
  expect(code).toBe(exitCode)
}

describe('help', () => {
  test.each([
    'reproduce',
    'generate',
    'chat',
    'bench',
    'parity run',
    'parity verify-certificate',
    'parity export-ops',
    'parity check-ops',
    'parity export',
    'parity check',
    'inspect',
    'doctor',
  ])('of %s shows its usage and examples', async (command) => {
    const { code, stdout, stderr } = await runInside([...command.split(' '), '--help'])
    expect(stdout).toContain(`Usage: shadowllm ${command} `)
    expect(stdout).toMatch(new RegExp(`Examples:\\n  \\$ shadowllm ${command}\\b`))
    expect([code, stderr]).toEqual([0, ''])
  })

  test.each([[[]], [['--help']], [['help']]])('%j lists every command and the exit codes', async (args) => {
    const { code, stdout, stderr } = await runInside(args)
    for (const name of ['reproduce', 'generate', 'parity', 'inspect', 'doctor', '130 interrupted'])
      expect(stdout).toContain(name)
    expect([code, stderr]).toEqual([0, ''])
  })

  test.each([[['planners']], [['help', 'planners']]])(
    '%j lists the planners, with all meanings in one column',
    async (args) => {
      const { code, stdout } = await runInside(args)
      const [, list] = /(?:^|\n)Planners:\n((?: +\S.*\n)+)/.exec(stdout) ?? []
      const lines = list.trimEnd().split('\n')
      const starts = lines.map((line) => /^ {2}\S+ {2,}(?=\S)|^ {3,}(?=\S)/.exec(line)?.[0].length)
      expect(new Set(starts).size, list).toBe(1)
      expect(lines.flatMap((line) => /^ {2}(\S+)/.exec(line)?.[1] ?? [])).toEqual(plannerNames)
      expect(code).toBe(0)
    },
  )

  test.each(['generate', 'chat', 'serve', 'masks', 'perplexity', 'eval'])(
    'the help of %s says of planners where their list is, of shares that layer 0 is computed whole, and names few planners',
    async (command) => {
      const { stdout } = await runInside([command, '--help'])
      const help = stdout.replaceAll(/\s+/g, ' ')
      const [, planner, sparsity] =
        / (--planner <.*?) (--sparsity <.*?) --(?:seed|json|head-sparsity) /.exec(help) ?? []
      expect(planner).toContain('"shadowllm planners" lists all')
      expect(plannerNames.filter((name) => new RegExp(`\\b${name}\\b`).test(planner)).length).toBeLessThan(5)
      expect(sparsity).toContain('of the heads and neurons after layer 0')
    },
  )

  test('the help of a command of a command is that of --help', async () => {
    const run = await runInside(['parity', 'run', '--help'])
    expect(run.stdout).toContain('Usage: shadowllm parity run ')
    for (const args of [
      ['help', 'parity', 'run'],
      ['parity', 'help', 'run'],
    ])
      expect(await runInside(args), args.join(' ')).toEqual(run)
  })

  test('all flags are explained wherever "all" stands in a help', async () => {
    const run = await runInside(['generate', '--help', 'all'])
    expect(run.stdout).toContain('--top-k <count>')
    for (const args of [
      ['help', 'generate', 'all'],
      ['help', 'all', 'generate'],
      ['help', 'generate', 'all', '--debug'],
    ])
      expect(await runInside(args), args.join(' ')).toEqual(run)
  })

  test('the help of all commands is that of the program', async () => {
    const run = await runInside(['--help'])
    expect(run.stdout).toContain('Usage: shadowllm ')
    for (const args of [
      ['help', 'all'],
      ['--help', 'all'],
    ])
      expect(await runInside(args), args.join(' ')).toEqual(run)
  })

  test('the version is that of the package', async () => {
    expect(await runInside(['--version'])).toEqual({ code: 0, stdout: `${about.version}\n`, stderr: '' })
  })
})

describe('wrong usage exits with code 2', () => {
  test.each<[string, string[], string]>([
    ['--sparsity?', ['generate', 'a', '--sparsty', '0.5'], 'UNKNOWN_OPTION'],
    ['-n: unknown option (did you mean --max-tokens?)', ['generate', 'a', '-n', '5'], 'UNKNOWN_OPTION'],
    ['--tokens: unknown option (did you mean --max-tokens?)', ['chat', '--tokens', '5'], 'UNKNOWN_OPTION'],
    ['-n: unknown option [', ['inspect', '-n', '5'], 'UNKNOWN_OPTION'],
    ['run: unknown command (did you mean chat?); --help', ['run', 'model.gguf'], 'UNKNOWN_COMMAND'],
    [
      '--prompt: unknown option; a prompt is written without a flag: "a prompt" [',
      ['generate', '--prompt', 'hi'],
      'UNKNOWN_OPTION',
    ],
    ['generate?', ['genrate', 'a'], 'UNKNOWN_COMMAND'],
    ['nonsense: unknown command', ['help', 'nonsense'], 'UNKNOWN_COMMAND'],
    ['nonsense: unknown command', ['nonsense', '--help'], 'UNKNOWN_COMMAND'],
    ['from 0 to 1, got 1.2', ['generate', 'a', '--sparsity', '1.2'], 'SPARSITY'],
    ['from 0 to 1, got 2', ['reproduce', '--sparsity', '0.5,2'], 'SPARSITY'],
    ['a whole number from 1, got -1', ['reproduce', '--limit', '-1'], 'VALUE'],
    ['got -1', ['generate', 'a', '--max-tokens', '-1'], 'MAX_TOKENS'],
    ['from 0 to 4294967295', ['generate', 'a', '--seed', '1.5'], 'SEED'],
    ['reference, wasm', ['generate', 'a', '--backend', 'opencl'], 'BACKEND_NAME'],
    ['f32, int8', ['generate', 'a', '--cache', 'int4'], 'CACHE'],
    [
      'got oracle (oracle sees the text that follows: masks and perplexity take it)',
      ['generate', 'a', '--planner', 'oracle'],
      'PLANNER',
    ],
    ['two-by-two', ['reproduce', '--experiment', 'magic'], 'EXPERIMENT'],
    ['--seed is for the comparison', ['reproduce', '--seeds', '0,1'], 'FLAGS'],
    [
      '--scope: expected the comparison',
      ['reproduce', '--experiment', 'features', '--scope', 'hybrid'],
      'FLAGS',
    ],
    [
      '--criterion: expected the comparison',
      ['reproduce', '--experiment', 'all', '--criterion', 'snip'],
      'FLAGS',
    ],
    [
      '--save-predictor: expected the comparison',
      ['reproduce', '--experiment', 'features', '--save-predictor', join(folder, 'predictor')],
      'FLAGS',
    ],
    [
      'or --experiment sparsity-curve or grid, got two-by-two,cost',
      ['reproduce', '--experiment', 'two-by-two,cost', '--sparsity', '0.6'],
      'FLAGS',
    ],
    ['prompt: expected an argument', ['generate'], 'MISSING_ARGUMENT'],
    [
      '--cases: missing; expected safetensors with the cases',
      ['parity', 'export', '--output', 'x'],
      'OPTION_MISSING',
    ],
    [
      '--out: unknown option (did you mean --output?)',
      ['calibrate', '--text', 'a', '--out', 'b'],
      'UNKNOWN_OPTION',
    ],
    ['--help: expected all or nothing after it, got foo', ['generate', '--help', 'foo'], 'HELP'],
    ['help generate: expected all or nothing after it, got foo', ['help', 'generate', 'foo'], 'HELP'],
    ['vectors: unknown command', ['help', 'parity', 'vectors'], 'UNKNOWN_COMMAND'],
    ['nonsense: unknown command', ['help', 'nonsense', 'foo'], 'UNKNOWN_COMMAND'],
    ['vectors: unknown command', ['parity', 'help', 'vectors'], 'UNKNOWN_COMMAND'],
    ['--output: missing; expected ', ['calibrate'], 'OPTION_MISSING'],
    [
      '--context: expected 2 to 256 tokens, got 100000',
      ['perplexity', '--text', join(root, 'LICENSE'), '--context', '100000'],
      'CONTEXT_LENGTH',
    ],
    ['expected 0, got a, b', ['doctor', 'a', 'b'], 'EXCESS_ARGUMENTS'],
    ['some text', ['generate', ''], 'PROMPT'],
    ['a branch, a tag', ['generate', 'a', '-m', 'a/b', '--offline', '--revision', '../x'], 'HUB_REVISION'],
    [
      'together with the name of a model on the hub',
      ['generate', 'a', '-m', tinyFolder, '--revision', 'main'],
      'HUB_REVISION',
    ],
    ['an existing folder', ['reproduce', '--output', join(folder, 'none', 'report.json')], 'OUTPUT'],
    ['got a device', ['reproduce', '--output', '/dev/null'], 'OUTPUT'],
    ['got a folder', ['reproduce', '--save-predictor', folder], 'OUTPUT'],
    [
      'got a place that takes no new files',
      ['parity', 'export', '-m', tinyFolder, '--cases', cases, '-o', '/proc/none'],
      'OUTPUT',
    ],
  ])('with %j: %j', async (words, args, errorCode) => {
    const result = await runInside(args)
    expectRefusal(result, 2, errorCode)
    expect(result.stderr).toContain(words)
  })
})

describe('a refused file exits with code 3', () => {
  const weights = readFileSync(join(good, 'model.safetensors'))
  const torch = readFileSync(join(good, 'pytorch_model.bin'))
  const marker = join(folder, 'the-pickle-ran')
  const attack = pickle(P.global('os', 'system'), tuple(P.text(`touch ${marker}`)), 'R')

  test.each<[string, string, () => string]>([
    ['no folder', 'MODEL_MISSING', () => join(folder, 'none')],
    ['no name on the hub either', 'MODEL_MISSING', () => '../none'],
    ['a folder that is no model', 'MODEL_CONFIG', () => root],
    [
      'safetensors cut in their values',
      'SAFETENSORS_TRUNCATED',
      () => modelWith('cut-values', 'model.safetensors', weights.subarray(0, -1000)),
    ],
    [
      'safetensors cut in their header',
      'SAFETENSORS_HEADER',
      () => modelWith('cut-header', 'model.safetensors', weights.subarray(0, 500)),
    ],
    ['an empty file', 'SAFETENSORS_SHORT', () => modelWith('empty', 'model.safetensors', new Uint8Array(0))],
    ['a .bin that is cut', 'ZIP_', () => modelWith('cut-bin', 'pytorch_model.bin', torch.subarray(0, -1000))],
    [
      'a pickle that names os.system',
      'PICKLE_GLOBAL',
      () => modelWith('attack', 'pytorch_model.bin', torchFile(attack).bytes),
    ],
    [
      'a bare pickle that names os.system',
      'PICKLE_GLOBAL',
      () => modelWith('bare-attack', 'pytorch_model.bin', attack),
    ],
    ['a tensor of another shape', 'TENSOR_SHAPE', wrongShape],
    [
      'a tensor that is not there',
      'TENSOR_MISSING',
      () => modelWith('lacking', 'model.safetensors', encodeSafetensors(new Map())),
    ],
    ['a configuration that is cut', 'JSON_SYNTAX', cutConfig],
  ])('%s is %s', async (_, errorCode, make) => {
    const result = await runInside(['generate', 'a', '--model', make()])
    const [found] = /\[\w+\]/.exec(result.stderr) ?? ['none']
    expect(found).toContain(`[${errorCode}`)
    expectRefusal(result, 3, found.slice(1, -1))
  })

  test.each([
    ['opt-125m', 'got nothing: no such file or folder; facebook/opt-125m is a name on the hub'],
    ['opt-6.7b', 'facebook/opt-6.7b'],
    ['SmolLM2-135M-Instruct', 'HuggingFaceTB/SmolLM2-135M-Instruct'],
  ])('%s is suggested with its organisation', async (name, words) => {
    const result = await runInside(['generate', 'a', '-m', name])
    expectRefusal(result, 3, 'MODEL_MISSING')
    expect(result.stderr).toContain(words)
  })

  test("a folder in Meta's own form is refused by that name, and one without a tokenizer by its files", async () => {
    const meta = join(folder, 'meta')
    mkdirSync(meta)
    for (const name of ['params.json', 'consolidated.00.pth', 'tokenizer.model'])
      writeFileSync(join(meta, name), '{}')
    const refused = await runInside(['generate', 'a', '-m', meta])
    expectRefusal(refused, 3, 'MODEL_CONFIG')
    expect(refused.stderr).toContain(
      "expected a model in Hugging Face's form, with config.json, got Meta's own form",
    )
    const untold = await runInside(['generate', 'a', '-m', 'fixtures/golden-llama/llama_gqa'])
    expectRefusal(untold, 3, 'TOKENIZER_MISSING')
    expect(untold.stderr).toContain(
      'expected tokenizer.json, or vocab.json with merges.txt, in the folder of',
    )
  })

  test('of other names the form of a name on the hub is told, and nothing of a path', async () => {
    const refusal = async (name: string): Promise<string> =>
      (await runInside(['generate', 'a', '-m', name])).stderr
    for (const name of ['opt-125', 'bert', 'llama3'])
      expect(await refusal(name)).toMatch(
        /expected a model's folder, or a file whose name ends with [^\n]+ or \.gguf, got nothing: no such file or folder; on the hub a model is looked for by owner\/name \[MODEL_MISSING\]\n$/,
      )
    for (const name of ['./opt-125m', 'none.gguf'])
      expect(await refusal(name)).toMatch(/got nothing: no such file or folder \[MODEL_MISSING\]\n$/)
  })

  test('no pickle called os.system', () => expect(existsSync(marker)).toBe(false))

  function wrongShape(): string {
    const path = modelWith('wrong-shape', 'model.safetensors', weights)
    const config = JSON.parse(readFileSync(join(path, 'config.json'), 'utf8')) as { ffn_dim: number }
    writeFileSync(join(path, 'config.json'), JSON.stringify({ ...config, ffn_dim: config.ffn_dim + 1 }))
    return path
  }

  function cutConfig(): string {
    const path = modelWith('cut-config', 'model.safetensors', weights)
    writeFileSync(join(path, 'config.json'), readFileSync(join(path, 'config.json')).subarray(0, 40))
    return path
  }

  test.each<[string, string[], string]>([
    ['inspect', ['inspect', join(folder, 'none.safetensors')], 'MODEL_MISSING'],
    ['parity check', ['parity', 'check', 'none.safetensors', cases], 'FILE_MISSING'],
    ['parity export', ['parity', 'export', '--cases', cases + 'x', '-o', join(folder, 'x')], 'FILE_MISSING'],
    ['generate', ['generate', 'a', '-m', tinyFolder], 'TOKENIZER_MISSING'],
  ])('%s says so too', async (_, args, errorCode) => {
    expectRefusal(await runInside(args), 3, errorCode)
  })
})

describe('something missing exits with code 4', () => {
  test.each<[string[], string]>([
    [['masks', 'a', '--planner', 'static'], 'CALIBRATION_MISSING'],
    [['generate', 'a', '--planner', 'dejavu'], 'PREDICTOR_MISSING'],
  ])('%j', async (args, errorCode) => {
    expectRefusal(await runInside(args), 4, errorCode)
  })
})

describe('a failed download exits with code 5', () => {
  test.each<[string[], string]>([
    [['generate', 'a', '--model', 'nobody/nothing', '--offline'], 'HUB_OFFLINE'],
    [['inspect', 'nobody/nothing', '--offline', '--revision', 'v1'], 'HUB_OFFLINE'],
  ])('%j', async (args, errorCode) => {
    expectRefusal(await runInside(args, { env: { HF_HUB_CACHE: folder } }), 5, errorCode)
  })
})

describe('--debug', () => {
  test('adds the origin of the error, and no other flag does', async () => {
    const { code, stderr } = await runInside(['generate', 'a', '--model', join(folder, 'none'), '--debug'])
    expect(stderr).toMatch(/^shadowllm: .* \[MODEL_MISSING\]\n.*\n {4}at /)
    expect(code).toBe(3)
  })
})
