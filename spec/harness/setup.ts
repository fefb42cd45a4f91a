/** Before each spec file: every property of it gets the run's seed, those stated without `law` too. */
import { configureProperties } from './seed.ts'

configureProperties()
