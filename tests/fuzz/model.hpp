#pragma once

#include <mla_scale/model/load.hpp>

/// Does with a model all that the commands do short of printing: the scale and its derivation,
/// every engine, every rule, the record of a snapshot.
void use(const mla_scale::model::LoadedModel& model);
