/**
 * Runs the benches named on the command line, or all of them, after a line that says on what machine.
 *
 *   node scripts/node.mjs bench/run.ts [roofline] [kernels] [masked] [door] [decode] [threads]
 */
import { commandArguments, machine, runtime, setExitCode, write } from '../src/platform/platform.ts'
import { run as decode } from './decode.ts'
import { run as door } from './door.ts'
import { run as kernels } from './kernels.ts'
import { run as masked } from './masked.ts'
import { run as roofline } from './roofline.ts'
import { run as threads } from './threads.ts'

const benches: Readonly<Record<string, () => Promise<void>>> = {
  roofline,
  kernels,
  masked,
  door,
  decode,
  threads,
}

async function main(names: readonly string[]): Promise<void> {
  const unknown = names.find((name) => !Object.hasOwn(benches, name))
  if (unknown !== undefined) {
    await write('stderr', `bench: expected ${Object.keys(benches).join(', ')}, got ${unknown}\n`)
    setExitCode(2)
    return
  }
  const { processor, threads } = machine()
  await write('stdout', `${runtime.name} ${runtime.version}, ${runtime.system}, ${threads} x ${processor}\n`)
  for (const name of names.length > 0 ? names : Object.keys(benches)) {
    await write('stdout', `\n${name}\n${'-'.repeat(name.length)}\n`)
    await benches[name]()
  }
}

await main(commandArguments())
