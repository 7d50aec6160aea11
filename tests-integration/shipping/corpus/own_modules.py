"""Modules that exist only at the client."""

import importlib

import gadget
import orchard
import orchard.trees.oak
from orchard import fruit
from orchard.fruit import Apple, Basket, Kind, weigh

from harness import case


@case
def a_function_of_a_module(call):
    assert call(gadget.spin, 3) == 12


@case
def a_function_of_a_module_by_a_global(call):
    assert call(lambda: gadget.spin(2)) == 8


@case
def a_module_that_imports_a_package(call):
    assert call(gadget.apples) == 4


@case
def a_constant_of_a_package(call):
    assert call(lambda: orchard.VERSION) == "1.2"


@case
def a_function_of_a_submodule(call):
    assert call(weigh, []) == 0
    assert call(fruit.sell, 1) >= 1


@case
def a_function_of_a_subpackage(call):
    assert call(orchard.trees.oak.acorns, 5) == ("5 g", "5 g")


@case
def a_dotted_name(call):
    assert call(lambda: orchard.trees.oak.acorns(1)[0]) == "1 g"


@case
def an_import_inside_a_function_of_it(call):
    assert call(orchard.trees.oak.lazily) == 9


@case
def an_import_inside_a_task(call):
    def task():
        import gadget as there
        from orchard.units import text

        return text(there.COUNT)

    assert call(task) == "4 g"


@case
def an_import_inside_a_task_of_what_nobody_imported_here(call):
    def task():
        from orchard.trees.birch import LEAVES

        return LEAVES

    assert call(task) == 12


@case
def import_module_inside_a_task(call):
    def task(name):
        return importlib.import_module(name).GRAM

    assert call(task, "orchard.units") == 1


@case
def a_class_of_it(call):
    back = call(Apple, 150)
    assert type(back) is Apple
    assert back == Apple(150)


@case
def an_instance_of_it(call):
    assert call(lambda apple: apple.weight(), Apple(80)) == "80 g"


@case
def a_method_of_it(call):
    assert call(Apple(70).weight) == "70 g"


@case
def an_enum_of_it(call):
    assert call(lambda kind: kind is Kind.SOUR, Kind.SOUR) is True
    assert call(lambda: Apple(1).kind) is Kind.SWEET


@case
def a_dataclass_of_it(call):
    back = call(lambda: Basket([Apple(1), Apple(2)]))
    assert back == Basket([Apple(1), Apple(2)])


@case
def a_subclass_in_the_script(call):
    class Pear(fruit.Fruit):
        def weight(self):
            return "pear of " + super().weight()

    assert call(Pear(9).weight) == "pear of 9 g"
    assert type(call(Pear, 9)) is Pear


@case
def isinstance_there(call):
    assert call(lambda a: isinstance(a, orchard.fruit.Fruit), Apple(1)) is True


@case
def a_lambda_of_it(call):
    assert call(fruit.double, 4) == 8


@case
def an_exception_of_it(call):
    error = call.error(fruit.inspect, "apple")
    assert type(error) is fruit.RottenError
    assert (error.fruit, error.days, str(error)) == ("apple", 3, "rotten for 3 days")


@case
def a_function_of_the_script_as_its_argument(call):
    assert call(fruit.grown, lambda grams: grams + 1) == 101


@case
def the_module_itself_as_an_argument(call):
    assert call(lambda module: module.spin(1), gadget) == 4


@case
def the_module_itself_as_a_result(call):
    assert call(lambda: gadget) is gadget


@case
def names_and_files_there(call):
    assert call(lambda: (weigh.__module__, Apple.__module__)) == ("orchard.fruit", "orchard.fruit")


@case
def the_text_of_a_function_there(call):
    import inspect

    assert "return Basket(fruits).total()" in call(lambda: inspect.getsource(weigh))


@case
def a_module_that_is_nowhere(call):
    def task():
        import no_such_module_anywhere

        return no_such_module_anywhere

    error = call.error(task)
    assert isinstance(error, ImportError)
    assert "no_such_module_anywhere" in str(error)


@case
def a_missing_submodule(call):
    def task():
        import orchard.no_such_part

        return orchard

    error = call.error(task)
    assert isinstance(error, ImportError)
    assert "orchard.no_such_part" in str(error)
