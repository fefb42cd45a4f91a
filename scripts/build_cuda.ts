/**
 * `npm run build:cuda`: compiles the kernels of cuda/ to the module in src/backends/cuda, by nvcc, and prints what each
 * takes of a device. Ends with exit code 1 if one keeps registers in memory.
 */
import { writeFileSync } from 'node:fs'
import { architectures, compileModule, manifestOf, manifestPath, modulePath, usageOn } from './cuda/module.ts'

const module = await compileModule()
writeFileSync(modulePath, module)
writeFileSync(manifestPath, `${JSON.stringify(manifestOf(module), null, 2)}\n`)
for (const architecture of architectures) {
  const usage = await usageOn(architecture)
  process.stdout.write(`${architecture}: registers, bytes of shared memory\n`)
  for (const { kernel, registers, shared, stack, spilled } of usage) {
    process.stdout.write(
      `  ${kernel.padEnd(34)}${String(registers).padStart(4)}${String(shared).padStart(7)}`,
    )
    process.stdout.write(spilled + stack > 0 ? `  stack ${stack}, spilled ${spilled}\n` : '\n')
    if (spilled > 0) process.exitCode = 1
  }
}
