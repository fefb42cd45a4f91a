/**
 * Every wrong value that a flag or an argument can be given, and what is said of it.
 *
 * Keys are a flag with what it takes ("--sparsity <share>"), for all commands that have it, or behind a command's name
 * for that one alone. Flags with a list of choices need no row: their wrong values follow from the list.
 */
import { mkdirSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import {
  coded,
  input,
  names,
  number,
  share,
  shares,
  threads,
  usage,
  whole,
  type Door,
  type Wrong,
} from './door.ts'
import { nobody, queueDoors } from './queue_doors.ts'
import { root, tinyFolder } from './run_cli.ts'

/** What stands in a folder so that every kind of wrong path can be given. */
export interface Places {
  readonly none: string
  readonly folder: string
  readonly file: string
  /** A link that leads to itself: nobody can open it, whatever they are allowed. */
  readonly loop: string
  /** A path below a file. */
  readonly below: string
  readonly text: string
  /** Rows of copa. */
  readonly rows: string
  /** A folder that is not there yet and may be made. */
  readonly fresh: string
  /** Where a small model is, once it was written. */
  readonly model: string
  /** Where a calibration is, once `calibrationArguments` were run. */
  readonly calibration: string
}

/** Makes the places. @param folder an empty folder */
export function makePlaces(folder: string): Places {
  const at = (name: string): string => join(folder, name)
  mkdirSync(at('folder'))
  writeFileSync(at('file'), 'no model, no mask, no rows')
  symlinkSync(at('loop'), at('loop'))
  writeFileSync(at('text'), 'The captain looked at the sea, and the men looked at him. '.repeat(30))
  const row = {
    premise: 'It rained.',
    choice1: 'It was wet.',
    choice2: 'It was dry.',
    question: 'effect',
    label: 0,
  }
  writeFileSync(at('copa.jsonl'), `${JSON.stringify(row)}\n`)
  return {
    none: at('none'),
    folder: at('folder'),
    file: at('file'),
    loop: at('loop'),
    below: join(at('file'), 'below'),
    text: at('text'),
    rows: at('copa.jsonl'),
    fresh: at('fresh'),
    model: at('model'),
    calibration: at('calibration'),
  }
}

/** The arguments that make the calibration, in a moment. */
export function calibrationArguments({ calibration, text, model }: Places): string[] {
  const sizes = ['--limit', '2', '--prompt', '8', '--continuation', '8', '--threads', '1']
  return ['calibrate', '--model', model, '--output', calibration, '--moments', '--text', text, ...sizes]
}

/** What each command is given so that it would run. */
export function leastArguments({
  fresh,
  file,
  folder,
  rows,
  text,
  calibration,
  model,
}: Places): Readonly<Record<string, readonly string[]>> {
  const cases = join(tinyFolder, 'cases/batch.safetensors')
  return {
    '': [],
    reproduce: ['--model', model, '--quick'],
    calibrate: ['--output', fresh, '--model', model],
    train: ['--calibration', calibration, '--output', `${fresh}.safetensors`],
    learn: [
      '--model',
      model,
      '--calibration',
      calibration,
      '--output',
      `${fresh}.safetensors`,
      '--text',
      text,
      '--prompt',
      '8',
      '--continuation',
      '8',
      '--steps',
      '1',
    ],
    generate: ['a', '--model', model],
    chat: ['--model', model],
    serve: ['--port', '0', '--model', model],
    masks: ['a', '--model', model],
    perplexity: ['--text', text, '--model', model],
    eval: ['--tasks', 'copa', '--rows', `copa=${rows}`, '--model', model],
    parity: [],
    'parity run': ['--small'],
    'parity verify-certificate': [file],
    'parity export-ops': ['--output', fresh, '--ops', 'add', '--small'],
    'parity check-ops': [folder, folder],
    'parity export': ['--cases', cases, '--output', `${fresh}.safetensors`, '--model', model],
    'parity check': [cases, cases],
    inspect: [model],
    convert: [model, fresh],
    verify: ['--law', 'relu', '--runs', '0.01'],
    cost: [],
    bench: ['--quick'],
    pretrain: ['--output', fresh],
    doctor: [],
    planners: [],
    worker: ['--queue', nobody, '--shards', fresh, '--model', model],
    jobs: ['--queue', nobody],
  }
}

/** The rows. */
export function makeDoors(places: Places): Readonly<Record<string, Door>> {
  const { none, folder, file, loop, below } = places
  const read = (missing = 'FILE_MISSING'): Wrong[] => [
    input(missing, 'got nothing', none),
    input(missing, 'got nothing', below),
    input(missing, 'got nothing', ''),
    input('FILE_KIND', 'got a folder', folder),
    input('FILE_READ', 'got links that lead in a circle', loop),
    input('FILE_READ', 'got a name that is too long', 'a'.repeat(300)),
  ]
  const model: Door = {
    wrong: [
      input('MODEL_MISSING', 'got nothing', none),
      input('MODEL_MISSING', 'got nothing', ''),
      input('MODEL_CONFIG', 'config.json', folder),
      input('MODEL_FORMAT', 'ends with .safetensors', file),
      input('FILE_READ', 'got links that lead in a circle', loop),
    ],
  }
  const revision: Door = {
    beside: ['--model', 'nobody/nothing', '--offline'],
    wrong: usage('HUB_REVISION', 'a branch, a tag', '../x', '', '/a', 'a/../b'),
  }
  const written: Door = {
    wrong: [
      ...usage('OUTPUT', 'got a folder', folder),
      ...usage('OUTPUT', 'an existing folder', join(none, 'x'), below),
      ...usage('OUTPUT', 'got nothing', ''),
      ...usage('OUTPUT', 'got links that lead in a circle', loop),
      ...usage('OUTPUT', 'got a device', '/dev/null'),
    ],
  }
  const writtenFolder: Door = {
    wrong: [
      ...usage('OUTPUT', 'got a file', file),
      ...usage('OUTPUT', 'got nothing', ''),
      ...usage('OUTPUT', 'got links that lead in a circle', loop),
    ],
  }
  const text: Door = { wrong: read() }
  const tensors: Door = {
    wrong: [...read(), input('SAFETENSORS_HEADER_LIMIT', 'a safetensors header', file)],
  }
  const mask: Door = {
    wrong: [
      ...read(),
      input('MASK_FORMAT', 'a mask, as "shadowllm masks --output" writes it, got another file', file),
    ],
  }
  const predictor: Door = {
    wrong: [
      ...read(),
      input('PREDICTOR_CARD', 'a predictor, as "shadowllm train" writes it, got another file', file),
    ],
  }
  const calibration = (...beside: string[]): Door => ({
    beside,
    wrong: [
      input('FILE_MISSING', 'got nothing', none),
      input('FILE_MISSING', 'got nothing', folder),
      input('FILE_MISSING', 'got nothing', file),
      input('FILE_READ', 'got links that lead in a circle', loop),
    ],
  })
  const answers: Door = {
    wrong: [
      ...[none, below, ''].map((value) => input('FILE_MISSING', 'got nothing', value)),
      input('FILE_KIND', 'got a file', file),
      input('FILE_READ', 'got links that lead in a circle', loop),
    ],
  }
  const tasks = names('TASK_NAME', 'one of piqa')
  const rows: Door = {
    beside: ['--tasks', 'copa'],
    wrong: [
      ...usage('VALUE', 'TASK=FILE', '', 'copa', 'copa=', 'no-such=x', '=x'),
      input('FILE_MISSING', 'got nothing', `copa=${none}`),
      input('FILE_KIND', 'got a folder', `copa=${folder}`),
      input('FILE_READ', 'got links that lead in a circle', `copa=${loop}`),
    ],
  }
  const data: Door = {
    beside: ['--tasks', 'copa'],
    wrong: [none, folder, file].map((value) => ({
      value,
      exitCode: 4,
      code: 'ROWS_MISSING',
      says: 'copa.jsonl',
    })),
  }
  return {
    // What several commands have.
    '--host <address>': {
      wrong: [
        ...usage('ADDRESS', 'an address of this machine', '192.0.2.1'),
        ...usage('ADDRESS', 'got nothing', ''),
      ],
    },
    '--port <number>': coded('PORT', whole(0, '65536')),
    '--name <name>': { wrong: usage('NAME', 'some text', '') },
    '--api-key <key>': { wrong: usage('API_KEY', 'visible characters', '', 'a b', 'é') },
    '--cors <origin>': {
      wrong: usage('ORIGIN', 'an origin', '', 'example.org', 'https://example.org/', 'null'),
    },
    '--parallel <count>': whole(1, '1025'),
    '--connections <count>': whole(1, '1048577'),
    '--waiting <count>': whole(0, '65537'),
    '--kept <MiB>': whole(0, '1048577'),
    '--mask-tokens <count>': whole(1),
    '--stall <seconds>': number('0', '-1', '86401'),
    'serve --drain <seconds>': number('-1', '86401'),
    'serve --read <seconds>': number('0', '86401'),
    '--model <name>': model,
    '--revision <name>': revision,
    '--sparsity <share>': share,
    '--sparsity <list>': shares,
    '--head-sparsity <share>': share,
    '--head-sparsity <list>': { ...shares, beside: ['--experiment', 'grid'] },
    '--neuron-sparsity <share>': share,
    '--seed <number>': coded('SEED', whole(0, '4294967296')),
    '--threads <count>': threads,
    '--every <count>': { wrong: usage('EVERY', 'auto or a whole number', '0', '-1', '1.5', '', 'all') },
    '--check <count>': coded('CHECK', whole(1)),
    '--limit <count>': whole(1),
    '--shots <count>': whole(0),
    '--prompt <count>': whole(1),
    '--continuation <count>': whole(1),
    '--output <file>': written,
    '--output <dir>': writtenFolder,
    '--html <file>': written,
    '--text <file...>': text,
    '--predictor <file>': predictor,
    '--calibration <dir>': calibration(),
    '--tasks <list>': tasks,
    '--rows <task=file>': rows,
    '--data <dir>': data,
    '--batch <count>': whole(1),
    '--rate <number>': number('-1'),
    '--decay <number>': number('-1'),
    // reproduce
    '--experiment <names>': names('EXPERIMENT', 'two-by-two'),
    '--examples <count>': whole(1),
    '--seeds <list>': { wrong: usage('SEED', 'a whole number', '-1', '0,1.5', '', '0,', '4294967296') },
    '--save-predictor <file>': written,
    'reproduce --calibration <dir>': calibration('--experiment', 'grid', '--quick'),
    'reproduce --predictor <file>': { ...predictor, beside: ['--experiment', 'grid', '--quick'] },
    '--units <list>': names('UNITS', 'one of heads'),
    '--prefill <list>': names('PREFILL', 'one of dense'),
    '--every <list>': coded('EVERY', whole(1)),
    '--windows <list>': {
      wrong: usage('VALUE', 'shapes such as 128+128', '128', '128+', '+128', '1.5+2', '', '8+8,'),
    },
    'reproduce --cache <dir>': {
      wrong: [file, below, loop].map((value) => ({ value, exitCode: 5, code: 'CACHE', says: 'cache' })),
    },
    // calibrate
    '--criteria <list>': names('CRITERION_NAME', 'one of plainact'),
    'calibrate --text <file...>': { ...text, beside: ['--prompt', '8', '--continuation', '8'] },
    'calibrate --wikitext <file>': { wrong: read(), beside: ['--prompt', '8', '--continuation', '8'] },
    'calibrate --prompt <count>': whole(2),
    'calibrate --threads <count>': whole(1, '65'),
    'reproduce --threads <count>': whole(1, '65'),
    'calibrate --rows <task=file>': rows,
    'calibrate --mask <file>': mask,
    // train
    'train --output <file>': written,
    'train --criterion <name>': { wrong: usage('CRITERION_NAME', 'plainact', 'no-such', '') },
    '--width <units>': whole(1),
    '--head-width <units>': whole(1),
    '--placement, --source-layer <layer>': whole(0),
    '--top <list>': { wrong: usage('VALUE', 'a number from 0 to 1', '1.5', '-1', '', '0.3,', 'NaN') },
    '--epochs <count>': whole(1),
    '--patience <epochs>': whole(1),
    '--held-out <share>': { wrong: usage('VALUE', 'a number from 0 to 0.9', '0.95', '-1', '', 'NaN') },
    // learn
    'learn --output <file>': written,
    'learn --criterion <name>': { wrong: usage('CRITERION_NAME', 'plainact', 'no-such', '') },
    'learn --prompt <count>': whole(2),
    'learn --moments <file>': { ...tensors, beside: ['--compensate', 'least-squares'] },
    '--rank <count>': whole(0),
    '--penalty <number>': number('-1', '0'),
    // generate
    'generate <prompt>': { wrong: usage('PROMPT', 'some text', '') },
    '--max-tokens <count>': {
      wrong: [...coded('MAX_TOKENS', whole(0)).wrong, ...usage('CONTEXT_LENGTH', 'together', '100000')],
    },
    'generate --system <text>': {
      wrong: [...usage('SYSTEM', '--chat', 'x'), ...usage('SYSTEM', 'some text', '')],
    },
    // chat
    'chat --max-tokens <count>': coded('MAX_TOKENS', whole(0)),
    'chat --system <text>': { wrong: usage('SYSTEM', 'some text', '') },
    '--temperature <number>': coded('TEMPERATURE', number('-1')),
    '--top-k <count>': coded('TOP_K', whole(1)),
    '--repetition-penalty <number>': coded('REPETITION_PENALTY', number('-1', '0')),
    '--min-p <share>': { wrong: usage('MIN_P', 'a number from 0 to 1', '1.5', '-1', 'NaN', '', 'much') },
    '--presence-penalty <number>': {
      wrong: usage('PRESENCE_PENALTY', 'a number from -2 to 2', '2.5', '-3', 'NaN', '', 'much'),
    },
    '--frequency-penalty <number>': {
      wrong: usage('FREQUENCY_PENALTY', 'a number from -2 to 2', '2.5', '-3', 'NaN', '', 'much'),
    },
    '--logit-bias <json>': {
      wrong: usage(
        'LOGIT_BIAS',
        'an object of up to',
        '',
        '{',
        '[]',
        '1',
        '{"a":1}',
        '{"1":101}',
        '{"01":1}',
      ),
    },
    '--top-p <share>': {
      wrong: usage('TOP_P', 'a number from 0 to 1', '1.5', '-1', 'NaN', '', 'much'),
    },
    '--chat-template-kwargs <json>': {
      wrong: usage(
        'TEMPLATE_VARIABLES',
        'an object of up to',
        '',
        '{',
        '[]',
        '1',
        '{"messages":1}',
        '{"a":[]}',
      ),
    },
    'generate --chat-template-kwargs <json>': {
      wrong: [
        ...usage('TEMPLATE_VARIABLES', '--chat', '{"a":1}'),
        ...usage('TEMPLATE_VARIABLES', 'an object of up to', '', '{', 'null', '{"a b":1}'),
      ],
    },
    '--session <file>': {
      wrong: [...written.wrong, input('SESSION', 'a session', file)],
    },
    // masks
    'masks <prompt>': { wrong: usage('PROMPT', 'some text', '') },
    'masks --text <file>': { wrong: read() },
    '--tokens <count>': whole(1),
    '--continuation <text>': {
      beside: ['--planner', 'oracle'],
      wrong: usage('CONTINUATION', '--continuation TEXT beside it', ''),
    },
    // perplexity and eval
    '--wikitext <file>': { wrong: read() },
    '--stride <count>': whole(1),
    'perplexity --context <count>': whole(2),
    'perplexity --windows <count>': whole(1),
    '--planner <name>': {
      wrong: usage('PLANNER', 'one of dense, static, random', 'no-such', '', 'Dense', 'shadow '),
    },
    '--planner <list>': names('PLANNER', 'dense'),
    'perplexity --calibration <dir>': calibration('--planner', 'static'),
    'eval --calibration <dir>': calibration('--planner', 'static'),
    'eval --data <dir>': {
      beside: ['--tasks', 'piqa'],
      wrong: data.wrong.map((wrong) => ({ ...wrong, says: 'piqa.jsonl' })),
    },
    'eval --text <file...>': { beside: ['--tasks', 'continuation'], wrong: read() },
    'eval --prompt <count>': whole(2),
    // parity
    '--ops <list>': names('OPS', 'one of embedding'),
    '--certificate <file>': written,
    'parity verify-certificate <file>': { wrong: [...read(), input('JSON_SYNTAX', 'expected', file)] },
    'parity check-ops <expected>': answers,
    'parity check-ops <actual>': answers,
    'parity export --cases <file>': { wrong: read() },
    'parity check <a>': { wrong: read() },
    'parity check <b>': { wrong: read() },
    '--tolerance <share>': number('-1'),
    // verify
    '--backend <list>': names('BACKEND_NAME', 'one of all, reference'),
    'verify --seed <number>': whole(0, '2147483648'),
    '--runs <factor>': number('0', '-1', '10001'),
    '--law <words>': { wrong: usage('LAW', 'words of a law', 'no-such') },
    // inspect
    'inspect <path>': model,
    'inspect --revision <name>': { ...revision, beside: ['nobody/nothing', '--offline'] },
    'inspect --storage <names>': { wrong: usage('STORAGE', 'f32, bf16, f16, int8', 'no-such', '', 'f32,') },
    '--texts <count>': whole(1, '501'),
    // convert
    'convert --mask <file>': mask,
    '--compensate <list>': names('COMPENSATE', 'one of none'),
    '--prompt-share <share>': coded('PROMPT_SHARE', number('-1', '1.5')),
    '--prompt-share <list>': coded('PROMPT_SHARE', number('-1', '1.5')),
    '--moments <file>': { ...tensors, beside: ['--planner', 'static', '--criterion', 'obs'] },
    'reproduce --moments <file>': {
      ...tensors,
      beside: ['--experiment', 'grid', '--quick', '--scores', 'obs'],
    },
    '--scores <list>': names('CRITERION_NAME', 'one of plainact'),
    'convert --moments <file>': { ...tensors, beside: ['--mask', none] },
    '--ridge <share>': coded('RIDGE', number('-1')),
    'convert <source>': model,
    'convert <output>': {
      wrong: [...writtenFolder.wrong, ...usage('OUTPUT', 'an existing folder', join(none, 'x'), below)],
    },
    'convert --revision <name>': { ...revision, beside: ['nobody/nothing', places.fresh, '--offline'] },
    '--shard-size <bytes>': { wrong: usage('VALUE', 'bytes', '0', '-1', '', 'NaN', '5XB', '1.5', '1e3') },
    // cost
    '--model <names>': names('COST_MODEL', 'opt-125m'),
    '--hidden <count>': whole(1, '2000000'),
    '--bandwidth <GB/s>': number('-1', '0', '1e7'),
    '--machines <count>': whole(1, '2000000'),
    '--windows <count>': whole(1, '2000000'),
    '--gflops <rate>': number('-1', '0', '1e10'),
    '--deaths <rate>': number('-1', '61'),
    ...queueDoors(places.fresh),
    // bench
    '--shape <names>': names('SHAPE', 'opt-125m'),
    '--layers <count>': whole(1, '2000000'),
    'bench --backend <list>': names('BACKEND_NAME', 'one of reference'),
    'bench --storage <list>': names('STORAGE', 'f32, bf16, f16, int8'),
    'bench --planner <list>': names('PLANNER', 'shadow'),
    'bench --mask <file>': { ...mask, beside: ['--model', root + tinyFolder] },
    'bench --predictor <file>': { beside: ['--model', root + tinyFolder], wrong: read() },
    '--test <list>': { wrong: usage('TEST', 'pp', 'no-such', '', 'pp0', 'tg-1', 'pp1.5', 'tg32@') },
    '--rounds <count>': whole(1, '2000000'),
    '--depths <seconds>': whole(0, '100000'),
    'bench --threads <list>': {
      wrong: usage('THREADS', 'auto or a whole number', '0', '1,1.5', '', '1,', '33'),
    },
    // pretrain
    '--config <path>': {
      wrong: [
        input('FILE_MISSING', 'got nothing', none),
        input('FILE_MISSING', 'got nothing', folder),
        input('JSON_SYNTAX', 'expected', file),
        input('FILE_READ', 'got links that lead in a circle', loop),
      ],
    },
    '--tokenizer <dir>': {
      wrong: [none, folder, file].map((value) => input('TOKENIZER_FILES', 'vocab.json', value)),
    },
    '--held-out <file...>': { beside: ['--text', places.text], wrong: read() },
    '--steps <count>': whole(1),
    '--length <count>': whole(2),
    'pretrain --rate <number>': number('-1', '2'),
    '--warmup <count>': whole(0),
    '--floor <share>': number('-1', '2'),
    'pretrain --decay <number>': number('-1', '2'),
    '--clip <number>': number('-1', '0'),
    '--evaluate-every <steps>': whole(1),
    '--save-every <steps>': whole(1),
  }
}
