/**
 * The laws of the whole model, over every backend. Each is stated in the file of its subject; mutants.spec.ts shows
 * that every one of them can fail.
 *
 * Tests src/engine/language_model.ts, src/engine/loaded_model.ts, src/engine/storages/, src/engine/sequence.ts,
 * src/engine/unit_lists.ts, src/engine/weight_layout.ts, src/masks/shift.ts, src/spec/dejavu.ts, src/spec/training.ts
 * and src/verify/model/modules.ts.
 */
import { overEveryBackend, overQuickBackends } from '../harness/backends.ts'
import { engineLaws } from '../../src/verify/model/engine_laws.ts'
import { gradientLaws } from '../../src/verify/model/gradient_laws.ts'
import { maskLaws } from '../../src/verify/model/mask_laws.ts'
import { checkLaws } from '../../src/verify/model/check_laws.ts'
import { plannerLaws } from '../../src/verify/model/planner_laws.ts'
import { sequenceLaws } from '../../src/verify/model/sequence_laws.ts'
import { storageLaws } from '../../src/verify/model/storage_laws.ts'
import { outsideLaws } from './outside_laws.ts'
import { stateLaws } from './cases.ts'

stateLaws('the engine equals the specification', engineLaws, overEveryBackend)
stateLaws('masks', maskLaws, overEveryBackend)
stateLaws('sequences', sequenceLaws, overEveryBackend)
stateLaws('planners', plannerLaws)
stateLaws('dense checks', checkLaws)
stateLaws('storage', storageLaws)
// Finite differences run a model many times over.
const { parameters, ...gradients } = gradientLaws
stateLaws('gradients', gradients)
stateLaws('finite differences', { parameters }, overQuickBackends)
stateLaws('outside', outsideLaws)
