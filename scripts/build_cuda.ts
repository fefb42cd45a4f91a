/**
 * `npm run build:cuda`: compiles the kernels of cuda/ to the module in src/backends/cuda, by nvcc, and prints what each
 * takes of a device; cuda/README.md has that table. Then the cases of cuda/certify.sh, which are for this module.
 */
import { writeFileSync } from 'node:fs'
import { writeBundle } from './cuda/certify/bundle.ts'
import { compileModule, manifestOf, manifestPath, modulePath, usageTable } from './cuda/module.ts'

const module = await compileModule()
writeFileSync(modulePath, module)
writeFileSync(manifestPath, `${JSON.stringify(manifestOf(module), null, 2)}\n`)
process.stdout.write(await usageTable())
await writeBundle()
