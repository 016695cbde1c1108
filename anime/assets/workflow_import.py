"""From a workflow that somebody has to the two files of one of the studio's own."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from anime.assets.workflow_catalogue import existing_workflow, own_store
from anime.assets.workflow_files import graph_text
from anime.comfyui.object_info import ServerClasses
from anime.core.binding_file import binding_text
from anime.core.conversion.findings import Conversion
from anime.core.conversion.sources import WorkflowSource, convert_source, workflow_in_json
from anime.core.graph_validation import GraphProblem
from anime.core.graphs import Graph
from anime.core.node_classes import NodeClassPolicy, node_classes
from anime.core.proposals.binding import ProposedBinding, bind_proposals
from anime.core.proposals.findings import Proposals
from anime.core.proposals.propose import propose
from anime.core.proposals.rebinding import with_confirmed
from anime.core.template_format import parse_template
from anime.core.workflow_build import Template
from anime.core.workflow_records import ImportedInput, ImportedWorkflow, NamedModel, NewWorkflow
from anime.settings import Settings


@dataclass(frozen=True, slots=True)
class ConvertedWorkflow:
    """A workflow made a graph for one server, with all that is proposed for it."""

    conversion: Conversion
    proposals: Proposals
    problems: tuple[GraphProblem, ...]
    propose_for: Callable[[str], Proposals]

    @property
    def graph(self) -> Graph:
        """The graph, as the server is to run it."""
        return self.conversion.graph

    def with_output(self, node_id: str | None) -> "ConvertedWorkflow":
        """The same with what is proposed for a take that this node saves; None changes nothing."""
        return replace(self, proposals=self.propose_for(node_id)) if node_id else self


@dataclass(frozen=True, slots=True)
class WorkflowImport:
    """An import that is ready to be written; `template` is what it will be read as."""

    template: Template
    graph_text: str
    binding_text: str
    proposed: ProposedBinding
    converted: ConvertedWorkflow

    def record(self) -> ImportedWorkflow:
        """What is to be told of it."""
        missing = self.converted.conversion.missing_models
        return ImportedWorkflow(
            name=self.template.name,
            output=self.template.output,
            inputs=[
                ImportedInput(
                    name=name,
                    places=self.template.places_of(name),
                    signal=self.proposed.signals.get(name, ""),
                )
                for name in self.template.inputs
            ],
            left_out=dict(self.proposed.left_out),
            lost=list(self.proposed.lost),
            node_classes={
                name: len(ids) for name, ids in node_classes(self.template.graph).items()
            },
            missing_models=[
                NamedModel(name=each.name, url=each.url, directory=each.directory)
                for each in missing
            ],
            warnings=list(map(str, self.converted.conversion.warnings)),
            problems=[
                str(problem)
                for problem in self.converted.problems
                if not any(model.name in problem.fault for model in missing)
            ],
        )


def import_new_workflow(
    new: NewWorkflow, classes: ServerClasses, settings: Settings
) -> ImportedWorkflow:
    """Write a workflow that a program or a form gives to the studio's folder, whole or not at all.

    Raises:
        InvalidWorkflow: it is none, cannot be converted, or prompt or output are in doubt.
        AlreadyExists: the name is taken, and is not to be replaced.
        ConfigurationError: the folder cannot take it.
    """
    store = own_store(settings)
    store.refuse_taken(new.name, may_replace=new.replace)
    source = workflow_in_json(json.dumps(new.workflow))
    plan = plan_import(
        new.name,
        convert_and_propose(source, classes, settings.node_class_policy),
        title=new.title or new.name,
        choices=new.choices,
        before=existing_workflow(new.name, settings) if new.replace else None,
    )
    store.save(new.name, plan.graph_text, plan.binding_text, may_replace=new.replace)
    return plan.record()


def convert_and_propose(
    source: WorkflowSource, classes: ServerClasses, policy: NodeClassPolicy
) -> ConvertedWorkflow:
    """The graph, checked, and what its inputs are for.

    Raises:
        WorkflowNotConvertible: some nodes cannot be run on the server; it names each.
        InvalidWorkflow: the workflow contradicts itself, or uses a class that is not allowed.
    """
    conversion = convert_source(source, classes.definitions)
    policy.check(conversion.graph)

    def propose_for(output: str | None) -> Proposals:
        return propose(conversion.graph, classes.definitions, source.workflow, output=output)

    problems = classes.problems_of(conversion.graph)
    return ConvertedWorkflow(conversion, propose_for(None), problems, propose_for)


def plan_import(
    name: str,
    converted: ConvertedWorkflow,
    *,
    title: str,
    choices: Mapping[str, str],
    before: Template | None = None,
) -> WorkflowImport:
    """The two files of a workflow, read back as a job would read them.

    Args:
        name: What requests call it.
        converted: See `convert_and_propose`.
        title: What people call it.
        choices: What is meant where proposals are in doubt: see `bind_proposals`.
        before: The workflow that it takes the place of, whose bindings are kept.

    Raises:
        InvalidWorkflow: what matters is in doubt, or nothing is saved.
    """
    if before:
        confirmed = _confirmed_choices(converted.proposals, before, converted.graph)
        choices = confirmed | dict(choices)
    converted = converted.with_output(choices.get("output"))
    proposals = converted.proposals
    proposed = bind_proposals(converted.graph, proposals, choices, title=title)
    if before:
        proposed = with_confirmed(proposed, before, converted.graph)
    texts = graph_text(converted.graph), binding_text(proposed.binding, proposed.signals)
    template = parse_template(name, *texts)
    return WorkflowImport(template, *texts, proposed, converted)


def _confirmed_choices(proposals: Proposals, before: Template, graph: Graph) -> dict[str, str]:
    """What the binding before says of the prompt and the output, where the graph has it still."""
    blank = ProposedBinding(before.binding.model_copy(update={"inputs": {}, "output_node": None}))
    found = with_confirmed(blank, before, graph).binding
    again = replace(before, graph=graph, binding=found)
    choices = {}
    if "prompt" in found.inputs:
        choices["prompt"] = again.places_of("prompt")[0]
    if found.output_node and proposals.output:
        choices["output"] = again.node_id(found.output_node)
    return choices
