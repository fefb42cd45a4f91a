/**
 * Runs the benches named on the command line, or all but `context`, `refresh` and `zeros`, which take minutes, after a line
 * that says on what machine.
 *
 *   node scripts/node.mjs bench/run.ts [roofline] [products] [kernels] [compilers] [masked] [door] [decode] [threads]
 *     [compensation] [context] [refresh] [zeros] [--shape NAME] [--layers N]
 */
import { parseArgs } from 'node:util'
import { commandArguments, machine, runtime, endWhenIdle, write } from '../src/platform/platform.ts'
import { run as compensation } from './compensation.ts'
import { run as compilers } from './compilers.ts'
import { run as context } from './context.ts'
import { run as decode } from './decode.ts'
import { run as door } from './door.ts'
import { run as kernels } from './kernels.ts'
import { run as masked } from './masked.ts'
import { run as products } from './products.ts'
import { run as refresh } from './refresh.ts'
import { run as roofline } from './roofline.ts'
import { run as threads } from './threads.ts'
import { run as zeros } from './zeros.ts'

const usual = { roofline, products, kernels, compilers, masked, door, decode, threads, compensation }

const benches: Readonly<Record<string, (shape: string, layers?: number) => Promise<void>>> = {
  ...usual,
  context,
  refresh,
  zeros,
}

/** @param shape and as many of its layers: of what `context` and `zeros` run */
async function main(names: readonly string[], shape: string, layers?: number): Promise<void> {
  const unknown = names.find((name) => !Object.hasOwn(benches, name))
  if (unknown !== undefined) {
    await write('stderr', `bench: expected ${Object.keys(benches).join(', ')}, got ${unknown}\n`)
    endWhenIdle(2)
    return
  }
  const { processor, threads } = machine()
  await write('stdout', `${runtime.name} ${runtime.version}, ${runtime.system}, ${threads} x ${processor}\n`)
  for (const name of names.length > 0 ? names : Object.keys(usual)) {
    await write('stdout', `\n${name}\n${'-'.repeat(name.length)}\n`)
    await benches[name](shape, layers)
  }
}

const { positionals, values } = parseArgs({
  args: commandArguments(),
  options: { shape: { type: 'string', default: 'opt-125m' }, layers: { type: 'string' } },
  allowPositionals: true,
})
await main(positionals, values.shape, values.layers === undefined ? undefined : Number(values.layers))
