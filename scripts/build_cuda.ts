/**
 * `npm run build:cuda`: compiles the kernels of cuda/ with nvcc to the module in src/backends/cuda, and prints the resources of
 * each kernel (the table of cuda/README.md). Then it writes the cases of cuda/certify.sh for this module.
 */
import { writeFileSync } from 'node:fs'
import { makeBundle, writeBundle } from './cuda/certify/bundle.ts'
import { compileModule, manifestOf, manifestPath, modulePath, usageOnAll, usageTable } from './cuda/module.ts'

const module = await compileModule()
writeFileSync(modulePath, module)
writeFileSync(manifestPath, `${JSON.stringify(manifestOf(module), null, 2)}\n`)
process.stdout.write(usageTable(await usageOnAll()))
writeBundle(await makeBundle())
